package cloudconfig

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
)

// isMultipart reports whether data begins with the headers of a MIME message
// of several parts.
func isMultipart(data []byte) bool {
	const enough = 4096
	head := data[:min(len(data), enough)]
	first, _, _ := bytes.Cut(head, []byte(":"))
	if !bytes.HasPrefix(head, []byte("From ")) && (len(first) == len(head) || bytes.ContainsAny(first, " \t\r\n#{")) {
		return false
	}
	for line := range bytes.Lines(head) {
		text := strings.ToLower(string(bytes.TrimSpace(line)))
		if text == "" {
			return false
		}
		if value, ok := strings.CutPrefix(text, "content-type:"); ok {
			return strings.HasPrefix(strings.TrimSpace(value), "multipart/")
		}
	}
	return false
}

// multipart adds the parts of a MIME message.
func (u *unpacker) multipart(data []byte, like Part, depth int) error {
	body := data
	if bytes.HasPrefix(body, []byte("From ")) { // of a mailbox, as mail tools write it
		_, body, _ = bytes.Cut(body, []byte("\n"))
	}
	message, err := mail.ReadMessage(bytes.NewReader(body))
	if err != nil {
		return like.fail("headers of the multipart message: %v", err)
	}
	_, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return like.fail("the multipart message names no boundary")
	}
	r := multipart.NewReader(message.Body, params["boundary"])
	searched := 0
	for {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return like.fail("after %d parts of the multipart message: %v", u.number, err)
		}
		raw, err := io.ReadAll(p)
		if err != nil {
			return like.fail("part %d of the multipart message is cut: %v", u.number+1, err)
		}
		part := Part{Name: p.FileName()}
		if !strings.HasPrefix(strings.ToLower(p.Header.Get("Content-Type")), "multipart/") {
			u.number++
			part.number = u.number
		}
		// Where it stands, for messages about it.
		if at := bytes.Index(data[searched:], raw); at >= 0 {
			searched += at
			if like.Line > 0 {
				part.Line = like.Line + bytes.Count(data[:searched], []byte("\n"))
			}
			searched += len(raw)
		}
		if err := u.part(p.Header, raw, part, depth); err != nil {
			return err
		}
	}
}

// part adds one part with the headers given.
func (u *unpacker) part(header textproto.MIMEHeader, raw []byte, like Part, depth int) error {
	decoded, err := undoTransfer(header.Get("Content-Transfer-Encoding"), raw)
	if err != nil {
		return like.fail("%v", err)
	}
	if !bytes.Equal(decoded, raw) {
		like.Line = 0
	}
	kind := strings.ToLower(header.Get("Content-Type"))
	switch {
	case strings.HasPrefix(kind, "multipart/"):
		// A message within: what tells it apart is the header of the part.
		head := "Content-Type: " + header.Get("Content-Type") + "\r\n\r\n"
		if like.Line > 0 {
			like.Line -= 2
		}
		if depth++; depth > maxNesting {
			return like.fail("wrapped more than %d times", maxNesting)
		}
		return u.multipart(append([]byte(head), decoded...), like, depth)
	case strings.HasPrefix(kind, "text/cloud-config") && KindOf(decoded) == KindUnknown:
		// Named for what it is, it may do without the line that says so.
		decoded = append([]byte("#cloud-config\n"), decoded...)
		like.Line = max(like.Line-1, 0)
	}
	return u.unpack(decoded, like, depth+1)
}

// undoTransfer undoes a Content-Transfer-Encoding.
func undoTransfer(encoding string, raw []byte) ([]byte, error) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64":
		decoded, err := base64.StdEncoding.DecodeString(stripBlanks(string(raw)))
		if err != nil {
			return nil, errors.New("unable to decode base64: " + err.Error())
		}
		return decoded, nil
	case "quoted-printable":
		decoded, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return nil, errors.New("unable to decode quoted-printable text: " + err.Error())
		}
		return decoded, nil
	}
	return raw, nil
}
