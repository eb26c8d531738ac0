package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// column is a field of a table: how to show it of a row.
type column[T any] func(ctx context.Context, row T) string

// tableFlags are the flags of commands that print tables.
type tableFlags struct {
	Full     bool `short:"l" help:"Do not shorten anything."`
	NoLegend bool `help:"Leave out the header."`
}

// printTable prints the wanted columns of rows: separated by tabs, aligned by
// tabs to multiples of 8, the last cell as it is. An empty cell is "-".
func printTable[T any](ctx context.Context, w io.Writer, flags tableFlags, fields []string, columns map[string]column[T], rows []T) {
	tw := tabwriter.NewWriter(w, 0, 8, 1, '\t', 0)
	if !flags.NoLegend {
		fmt.Fprintln(tw, strings.ToUpper(strings.Join(fields, "\t")))
	}
	for _, row := range rows {
		cells := make([]string, 0, len(fields))
		for _, f := range fields {
			cell := columns[f](ctx, row)
			if cell == "" {
				cell = "-"
			}
			cells = append(cells, cell)
		}
		fmt.Fprintln(tw, strings.Join(cells, "\t"))
	}
	_ = tw.Flush() // nothing can be done about a stdout that is closed
}

// wantedFields splits and checks a --fields flag. The error has been reported.
func wantedFields[T any](a *app, flag string, columns map[string]column[T]) ([]string, error) {
	if flag == "" {
		return nil, a.fail("Must define output format")
	}
	fields := strings.Split(flag, ",")
	i := slices.IndexFunc(fields, func(f string) bool { return columns[f] == nil })
	if i >= 0 {
		return nil, a.fail("Invalid key in output format: %q", fields[i])
	}
	return fields, nil
}
