package httppeer

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"time"
)

// A frame on the wire. On a stream an empty one is a ping.
//
//	4 BE  length of the payload
//	4 BE  CRC-32C of the payload
//	      payload
const (
	frameHead = 8
	// maxFrame bounds what is accepted: the largest command in one entry, with
	// room for its envelope.
	maxFrame = 64 << 20
	// trustedFrame is how much memory a header alone is worth. Beyond it a reader
	// takes memory as bytes arrive.
	trustedFrame = 4 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// writeFrame leaves errors to the Flush of w.
func writeFrame(w *bufio.Writer, payload []byte) {
	var head [frameHead]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(payload)))
	binary.BigEndian.PutUint32(head[4:], crc32.Checksum(payload, castagnoli))
	_, _ = w.Write(head[:])
	_, _ = w.Write(payload)
}

// sealFrame fills in the head of a frame, whose payload follows room for it.
func sealFrame(frame []byte) []byte {
	payload := frame[frameHead:]
	binary.BigEndian.PutUint32(frame, uint32(len(payload)))
	binary.BigEndian.PutUint32(frame[4:], crc32.Checksum(payload, castagnoli))
	return frame
}

// readFrame returns the payload of the next frame: io.EOF at the end, and
// io.ErrUnexpectedEOF in the middle of one.
func readFrame(r io.Reader) ([]byte, error) { return readFrameInto(r, nil) }

// readFrameInto is readFrame into buf, if that is large enough.
func readFrameInto(r io.Reader, buf []byte) ([]byte, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxFrame {
		return nil, fmt.Errorf("frame of %d bytes exceeds %d", size, maxFrame)
	}
	payload, err := readPayload(r, int(size), buf)
	if err != nil {
		return nil, err
	}
	if crc32.Checksum(payload, castagnoli) != binary.BigEndian.Uint32(head[4:]) {
		return nil, errors.New("frame fails its checksum")
	}
	return payload, nil
}

func readPayload(r io.Reader, size int, buf []byte) ([]byte, error) {
	if size > trustedFrame {
		var b bytes.Buffer
		n, err := io.CopyN(&b, r, int64(size))
		if err == io.EOF && n < int64(size) {
			err = io.ErrUnexpectedEOF
		}
		return b.Bytes(), err
	}
	if size > cap(buf) {
		buf = make([]byte, size)
	}
	payload := buf[:size]
	_, err := io.ReadFull(r, payload)
	if err == io.EOF && size > 0 {
		err = io.ErrUnexpectedEOF
	}
	return payload, err
}

// patientConn ends reads and writes on which nothing moves for a while; one that
// goes on, however slowly, may take as long as it takes.
type patientConn struct {
	net.Conn
	reader   *bufio.Reader // what was read ahead of the frames, then Conn
	silence  time.Duration // for reads
	onMotion func(read, written int, now time.Time)

	readSince, writtenSince time.Time // when the deadlines were put off last
}

// slack is how long a deadline is left as it is: to put it off takes longer than
// to read a message. That makes reads less patient, and writes more.
const slack = beat / 4

func (c *patientConn) Read(b []byte) (int, error) {
	if now := time.Now(); now.Sub(c.readSince) >= slack {
		c.readSince = now
		// An error shows in the Read, unless that finds what was read ahead.
		_ = c.SetReadDeadline(now.Add(c.silence))
	}
	n, err := c.reader.Read(b)
	c.onMotion(n, 0, time.Now())
	return n, err
}

func (c *patientConn) Write(b []byte) (written int, err error) {
	for len(b) > 0 && err == nil {
		if now := time.Now(); now.Sub(c.writtenSince) >= slack {
			c.writtenSince = now
			_ = c.SetWriteDeadline(now.Add(writeTimeout + slack)) // shows in the Write
		}
		var n int
		n, err = c.Conn.Write(b[:min(len(b), piece)])
		written += n
		b = b[n:]
	}
	c.onMotion(0, written, time.Time{})
	return written, err
}

// piece is how much is written before the time starts anew.
const piece = 512 << 10
