package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// table can be printed on a terminal and in Markdown. Its first column is text, the
// other columns are numbers.
type table struct {
	title string
	says  string   // printed above the table
	notes []string // printed below the table
	head  []string
	rows  [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) widths() []int {
	widths := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

// print writes the table for a terminal.
func (t *table) print(w io.Writer) {
	widths := t.widths()
	fmt.Fprintf(w, "\n%s\n", t.title)
	if t.says != "" {
		fmt.Fprintf(w, "  %s\n", t.says)
	}
	t.line(w, widths, t.head)
	for _, row := range t.rows {
		t.line(w, widths, row)
	}
	for _, note := range t.notes {
		fmt.Fprintf(w, "  %s\n", note)
	}
}

func (t *table) line(w io.Writer, widths []int, cells []string) {
	var line strings.Builder
	for i, cell := range cells {
		padding := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if i == 0 {
			line.WriteString("  " + cell + padding)
		} else {
			line.WriteString("  " + padding + cell)
		}
	}
	fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
}

// markdown writes the table with a heading.
func (t *table) markdown(w io.Writer) {
	fmt.Fprintf(w, "\n## %s\n", t.title)
	if t.says != "" {
		fmt.Fprintf(w, "\n%s\n", t.says)
	}
	fmt.Fprintf(w, "\n| %s |\n|---%s|\n", strings.Join(t.head, " | "), strings.Repeat("|--:", len(t.head)-1))
	for _, row := range t.rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
	}
	for _, note := range t.notes {
		fmt.Fprintf(w, "\n%s\n", note)
	}
}

// thousands formats a number with commas.
func thousands(x float64) string {
	s := fmt.Sprintf("%.0f", x)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// ratio formats x / base, or returns "" if x or base is 0.
func ratio(x, base float64) string {
	if base == 0 || x == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", x/base)
}

func kib(bytes float64) string { return fmt.Sprintf("%.1f KiB", bytes/1024) }
