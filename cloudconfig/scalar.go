package cloudconfig

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// scalar is what a YAML scalar can be read as: always its literal text, and by
// YAML 1.1 maybe one of the other types.
type scalar struct {
	text    string
	null    bool
	boolean *bool
	integer *int64
	float   *float64 // also set for an integer
}

// readScalar reads n, which must be a scalar node. It fails only for a !!binary
// that is not base64; other tags but !!str are ignored.
func readScalar(n *yaml.Node) (scalar, error) {
	s := scalar{text: n.Value}
	switch n.ShortTag() {
	case "!!binary":
		raw, err := base64.StdEncoding.DecodeString(stripBlanks(n.Value))
		s.text = string(raw)
		return s, err
	case "!!str":
		if n.Style&yaml.TaggedStyle != 0 {
			return s, nil
		}
	}
	const quoted = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	if n.Style&quoted != 0 {
		return s, nil
	}
	switch s.text {
	case "", "~", "null", "Null", "NULL":
		s.null, s.text = true, ""
	case "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON":
		s.boolean = new(true)
	case "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF":
		s.boolean = new(false)
	default:
		s.integer, s.float = readNumber(s.text)
	}
	return s, nil
}

// readNumber reads a number as YAML 1.1 does: 0-octal, 0x-hex, 0b-binary,
// underscores between digits. A number that int64 cannot hold is a float.
func readNumber(text string) (integer *int64, float *float64) {
	switch text {
	case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF":
		return nil, new(math.Inf(1))
	case "-.inf", "-.Inf", "-.INF":
		return nil, new(math.Inf(-1))
	case ".nan", ".NaN", ".NAN":
		return nil, new(math.NaN())
	}
	if !strings.ContainsRune("+-.0123456789", rune(text[0])) || strings.ContainsAny(text, "iInNpP") {
		return nil, nil
	}
	plain := strings.ReplaceAll(text, "_", "")
	if i, err := strconv.ParseInt(plain, 0, 64); err == nil {
		return &i, new(float64(i))
	}
	if f, err := strconv.ParseFloat(plain, 64); err == nil {
		return nil, &f
	}
	return nil, nil
}

// stripBlanks drops what may stand between the lines of base64 text.
func stripBlanks(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\r\n", r) {
			return -1
		}
		return r
	}, s)
}
