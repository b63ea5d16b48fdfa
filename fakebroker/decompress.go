package fakebroker

import (
	"fmt"
	"math"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"
)

// decompressor decompresses records in a testing/synctest bubble too. kgo's own
// leaves zstd decoders to the garbage collector, which closes their channels;
// outside of the bubble that is a fatal error of the runtime.
type decompressor struct{ others kgo.Decompressor }

func newDecompressor() kgo.Decompressor { return decompressor{kgo.DefaultDecompressor()} }

// Decompress is for kgo.
func (d decompressor) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	if codec != kgo.CodecZstd {
		return d.others.Decompress(src, codec)
	}
	z, err := zstd.NewReader(nil, zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(math.MaxInt32))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	defer z.Close()
	return z.DecodeAll(src, nil)
}
