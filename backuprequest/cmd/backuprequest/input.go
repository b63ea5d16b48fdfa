package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"example.com/kafkatest/backuprequest"
)

// maxLineBytes is the longest line that is looked at. A valid one, with every
// character escaped, is shorter than 8 KiB.
const maxLineBytes = 64 << 10

// entry is what a line of the input says.
type entry struct {
	line       int // from 1, blank lines included
	submission backuprequest.Submission
	err        error // what is wrong with the line
}

// openInput opens FILE, or standard input for "-".
func openInput(path string, stdin io.Reader) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(stdin), nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, usagef("%w: name a file of JSON Lines, or - for standard input", err)
	}
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return nil, errors.Join(usagef("%s is a directory: name a file of JSON Lines", path), file.Close())
	}
	return file, nil
}

// readEntries are what the lines of r say, in order; blank lines are left out.
// An error of reading comes last. It holds no more than one line.
func readEntries(r io.Reader) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		lines := bufio.NewReaderSize(r, maxLineBytes)
		for number := 1; ; number++ {
			text, long, err := readLine(lines)
			if err != nil && !errors.Is(err, io.EOF) {
				yield(entry{}, fmt.Errorf("reading line %d: %w", number, err))
				return
			}
			if number == 1 {
				text = bytes.TrimPrefix(text, []byte("\ufeff")) // a byte order mark, as some editors leave it
			}
			if text = bytes.TrimSpace(text); long || len(text) > 0 {
				if !yield(parseEntry(number, text, long), nil) {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
}

func parseEntry(number int, text []byte, long bool) entry {
	e := entry{line: number}
	if long {
		e.err = fmt.Errorf("longer than %d KiB", maxLineBytes>>10)
	} else {
		e.submission, e.err = parseSubmission(text)
	}
	return e
}

// readLine reads up to the next line feed. Of a line that does not fit into the
// reader's buffer nothing is kept. The text is good until the next call. With
// an error, it is what came before the error.
func readLine(r *bufio.Reader) (text []byte, long bool, err error) {
	text, err = r.ReadSlice('\n')
	for errors.Is(err, bufio.ErrBufferFull) {
		long = true
		_, err = r.ReadSlice('\n')
	}
	if long {
		text = nil
	}
	return text, long, err
}
