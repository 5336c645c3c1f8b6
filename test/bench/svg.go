package main

import (
	"fmt"
	"html"
	"strings"
)

// Sizes in the chart, in pixels.
const (
	chartWidth  = 900
	labelWidth  = 170
	barsWidth   = 250 // length of the longest bar
	chartColumn = 375 // width of a bar and its figure
	rowHeight   = 17
	barHeight   = 11
	panelHead   = 34
	chartHead   = 74
)

// The colours follow the reader's light or dark mode.
const chartStyle = `<style>
text { font: 12px system-ui, sans-serif; fill: #24292f }
.small { font-size: 11px; fill: #57606a }
.title { font-weight: 600; font-size: 13px }
.heading { font-weight: 600; font-size: 16px }
.back { fill: #ffffff }
.ours { fill: #0b7a75 }
.c { fill: #6e7f94 }
.go { fill: #d9a05b }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.small { fill: #9198a1 }
.back { fill: #0d1117 }
.ours { fill: #2fb5ad }
.c { fill: #8496ab }
.go { fill: #c98b3f }
}
</style>
`

// chart draws messages per second and CPU time per message. Each section has a panel
// with its own scale.
func (r results) chart(h host) []byte {
	var b strings.Builder
	y := chartHead
	for _, s := range sections {
		if f := r[s.name]; f != nil && s.chart {
			panel(&b, y, s, f)
			y += panelHead + rowHeight*len(f)
		}
	}
	var svg strings.Builder
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d">`+"\n", chartWidth, y+14, chartWidth, y+14)
	svg.WriteString(chartStyle)
	fmt.Fprintf(&svg, `<rect class="back" width="%d" height="%d" rx="6"/>`+"\n", chartWidth, y+14)
	text(&svg, 16, 26, "heading", "Comparison of MQTT clients")
	text(&svg, 16, 44, "small", "libmosquitto "+h.library+", Go "+h.golang+", "+h.cpu+", "+h.date)
	text(&svg, labelWidth, 66, "title", "messages per second (longer is better)")
	text(&svg, labelWidth+chartColumn, 66, "title", "CPU time per message (shorter is better)")
	svg.WriteString(b.String())
	svg.WriteString("</svg>\n")
	return []byte(svg.String())
}

func panel(b *strings.Builder, y int, s section, f byContender) {
	text(b, 16, y+20, "title", s.title)
	var mostRate, mostCPU float64
	for _, x := range f {
		mostRate, mostCPU = max(mostRate, x.rate), max(mostCPU, x.cpu)
	}
	y += panelHead - 6
	for _, contender := range s.works[0].contenders {
		x, ok := f[contender]
		if !ok { // not chosen
			continue
		}
		class := find(contender).class
		text(b, 16, y+barHeight-1, "", contender)
		bar(b, labelWidth, y, class, x.rate/mostRate, short(x.rate))
		bar(b, labelWidth+chartColumn, y, class, x.cpu/mostCPU, fmt.Sprintf("%.2f µs", x.cpu))
		y += rowHeight
	}
}

func bar(b *strings.Builder, x, y int, class string, share float64, figure string) {
	width := max(1, share*barsWidth)
	fmt.Fprintf(b, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>`+"\n", class, x, y, width, barHeight)
	text(b, x+int(width)+6, y+barHeight-1, "small", figure)
}

func text(b *strings.Builder, x, y int, class, s string) {
	fmt.Fprintf(b, `<text x="%d" y="%d" class="%s">%s</text>`+"\n", x, y, class, html.EscapeString(s))
}

// short formats a rate for the chart: 1.23 M, 456 k.
func short(x float64) string {
	if x >= 1e6 {
		return fmt.Sprintf("%.2f M", x/1e6)
	}
	return fmt.Sprintf("%.0f k", x/1e3)
}
