package fakebroker

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"
)

// decompressor decompresses records in a testing/synctest bubble too. kgo's own
// leaves zstd decoders to the garbage collector, which closes their channels;
// outside of the bubble that is a fatal error of the runtime.
type decompressor struct{ others kgo.Decompressor }

func newDecompressor() kgo.Decompressor { return decompressor{kgo.DefaultDecompressor()} }

// maxDecompressed is how many bytes of gzip and zstd are taken, by which a few bytes
// can stand for thousands of times as many. It is as much as a request may have.
const maxDecompressed = 100 << 20

// Decompress is for kgo.
func (d decompressor) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	switch codec {
	case kgo.CodecGzip:
		return unzip(src)
	case kgo.CodecZstd:
	default:
		return d.others.Decompress(src, codec)
	}
	z, err := zstd.NewReader(nil, zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxDecompressed))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	defer z.Close()
	return z.DecodeAll(src, nil)
}

func unzip(src []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(src))
	if err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	out, err := io.ReadAll(io.LimitReader(z, maxDecompressed+1))
	if err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	if len(out) > maxDecompressed {
		return nil, errors.New("gzip: larger than any request")
	}
	return out, nil
}
