//go:build linux

package process

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// infinite stands for "infinity" in time spans.
const infinite = time.Duration(math.MaxInt64)

// spanUnits are the units of systemd's time spans; months and years are its
// averages.
var spanUnits = map[string]time.Duration{
	"":   time.Second,
	"us": time.Microsecond, "usec": time.Microsecond, "µs": time.Microsecond, "μs": time.Microsecond,
	"ms": time.Millisecond, "msec": time.Millisecond,
	"s": time.Second, "sec": time.Second, "second": time.Second, "seconds": time.Second,
	"m": time.Minute, "min": time.Minute, "minute": time.Minute, "minutes": time.Minute,
	"h": time.Hour, "hr": time.Hour, "hour": time.Hour, "hours": time.Hour,
	"d": day, "day": day, "days": day,
	"w": 7 * day, "week": 7 * day, "weeks": 7 * day,
	"M": 2629800 * time.Second, "month": 2629800 * time.Second, "months": 2629800 * time.Second,
	"y": 31557600 * time.Second, "year": 31557600 * time.Second, "years": 31557600 * time.Second,
}

const day = 24 * time.Hour

// parseSpan reads a time span as systemd writes them: "1min 30s", "500ms",
// "1.5h", "infinity". A number without unit counts seconds.
func parseSpan(s string) (time.Duration, error) {
	rest := strings.TrimSpace(s)
	if rest == "infinity" {
		return infinite, nil
	}
	bad := fmt.Errorf("%q is no time span", s)
	if rest == "" {
		return 0, bad
	}
	var sum float64
	for rest != "" {
		number := leading(rest, "0123456789.")
		rest = strings.TrimLeft(rest[len(number):], " \t")
		n, err := strconv.ParseFloat(number, 64)
		if err != nil {
			return 0, bad
		}
		name := rest[:len(rest)-len(strings.TrimLeftFunc(rest, isSpanUnit))]
		rest = strings.TrimLeft(rest[len(name):], " \t")
		unit, ok := spanUnits[name]
		if !ok {
			return 0, bad
		}
		sum += n * float64(unit)
	}
	if sum >= float64(infinite) {
		return infinite, nil
	}
	return time.Duration(sum), nil
}

func isSpanUnit(r rune) bool { return r != ' ' && r != '\t' && r != '.' && (r < '0' || r > '9') }

// leading is the longest prefix of s made of chars.
func leading(s, chars string) string { return s[:len(s)-len(strings.TrimLeft(s, chars))] }
