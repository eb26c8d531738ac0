package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// The widths of help.
const (
	helpWidth  = 100
	helpIndent = "   "
)

// printHelp prints the help of the command that was chosen, or of the program,
// in the original's layout. That of a command leaves out what all have.
func printHelp(_ kong.HelpOptions, ctx *kong.Context) error {
	app := ctx.Model.Node
	node := ctx.Selected()
	if node == nil {
		node = app
	}
	h := helpWriter{w: ctx.Stdout}
	path := strings.TrimSpace(app.Name + " " + strings.TrimPrefix(node.Path(), app.Name))
	h.section("NAME", path+" - "+node.Help)
	h.section("USAGE", path+usageOf(node, app))
	if node.Detail != "" {
		h.section("DESCRIPTION", node.Detail)
	}
	h.commands(node)
	if node == app {
		h.flags("OPTIONS", node.Flags)
		h.section("COMMANDS' OPTIONS", "etcdctl COMMAND --help")
		return nil
	}
	var own []*kong.Flag
	for _, f := range node.Flags {
		if f.Name != "help" {
			own = append(own, f)
		}
	}
	h.flags("OPTIONS", own)
	h.section("GLOBAL OPTIONS", "etcdctl --help")
	return nil
}

// usageOf is what follows the name of a command in its usage.
func usageOf(node, app *kong.Node) string {
	var b strings.Builder
	if node == app {
		b.WriteString(" [options]")
	}
	if len(node.Children) > 0 {
		b.WriteString(" command")
	}
	if node == app || len(node.Children) > 0 || len(node.Flags) > 0 {
		b.WriteString(" [command options]")
	}
	for _, p := range node.Positional {
		if !p.Tag.Hidden {
			b.WriteString(" " + p.Name)
		}
	}
	return b.String()
}

// helpWriter lays out help.
type helpWriter struct{ w io.Writer }

func (h helpWriter) section(title, text string) {
	fmt.Fprintf(h.w, "%s:\n", title)
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, " ") { // an example
			fmt.Fprintln(h.w, helpIndent+line)
			continue
		}
		for _, part := range wrap(line, helpWidth-len(helpIndent)) {
			fmt.Fprintln(h.w, strings.TrimRight(helpIndent+part, " "))
		}
	}
	fmt.Fprintln(h.w)
}

func (h helpWriter) commands(node *kong.Node) {
	var rows [][2]string
	for _, c := range node.Children {
		if !c.Hidden {
			rows = append(rows, [2]string{c.Name, c.Help})
		}
	}
	for _, p := range node.Positional {
		if p.Help != "" {
			rows = append(rows, [2]string{p.Name, p.Help})
		}
	}
	if len(node.Children) > 0 {
		h.table("COMMANDS", rows)
	} else {
		h.table("ARGUMENTS", rows)
	}
}

func (h helpWriter) flags(title string, flags []*kong.Flag) {
	var rows [][2]string
	for _, f := range flags {
		if f.Hidden {
			continue
		}
		value := ""
		if !f.IsBool() {
			value = " value"
		}
		dashes := "--"
		if len(f.Name) == 1 {
			dashes = "-"
		}
		name := dashes + f.Name + value
		if f.Short != 0 {
			name += ", -" + string(f.Short) + value
		}
		help := f.Help
		if f.HasDefault && f.Default != "" {
			help += fmt.Sprintf(" (default: %s)", f.Default)
		}
		for _, env := range f.Envs {
			help += " [$" + env + "]"
		}
		rows = append(rows, [2]string{name, help})
	}
	h.table(title, rows)
}

// table prints rows in two columns.
func (h helpWriter) table(title string, rows [][2]string) {
	if len(rows) == 0 {
		return
	}
	width := 0
	for _, r := range rows {
		width = max(width, len(r[0]))
	}
	fmt.Fprintf(h.w, "%s:\n", title)
	for _, r := range rows {
		name := r[0]
		for _, line := range wrap(r[1], max(helpWidth-width-len(helpIndent)-2, 20)) {
			fmt.Fprintln(h.w, strings.TrimRight(fmt.Sprintf("%s%-*s  %s", helpIndent, width, name, line), " "))
			name = ""
		}
	}
	fmt.Fprintln(h.w)
}

// wrap breaks text into lines at blanks.
func wrap(text string, width int) []string {
	lines := []string{""}
	for word := range strings.FieldsSeq(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case len(*last)+1+len(word) <= width:
			*last += " " + word
		default:
			lines = append(lines, word)
		}
	}
	return lines
}
