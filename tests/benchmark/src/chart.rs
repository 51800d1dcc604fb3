//! A bar chart in SVG. Its scale is logarithmic, because times differ by a factor of a hundred.

use std::fmt::Write;

use crate::report::Row;

const SHOWN: [&str; 9] = [
    "floor: one call, HTTPS",
    "request, HTTPS",
    "Node: request, one call, HTTPS",
    "Node: request, HTTPS",
    "Python: request, HTTPS",
    "floor: hash and two calls",
    "confirm, HTTPS",
    "Node: confirm, HTTPS",
    "Python: confirm, HTTPS",
];
const LINE: usize = 34;
const TOP: usize = 44;
/// Left end of the bars, and the length of a factor of ten.
const LEFT: f64 = 250.0;
const DECADE: f64 = 105.0;
/// Time shown as a bar of length 0, in milliseconds.
const MIN_MS: f64 = 0.01;

/// Draws the chart.
pub(crate) fn draw(rows: &[Row]) -> String {
    let shown: Vec<&Row> = SHOWN
        .iter()
        .filter_map(|name| rows.iter().find(|row| row.name == *name))
        .collect();
    let height = TOP + LINE * shown.len() + 10;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 800 {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"800\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"10\" y=\"24\"><tspan fill=\"#1d4ed8\">■</tspan> cold start to first response, minimum \
         <tspan fill=\"#0b7a5c\">■</tspan> warm invocation, median; milliseconds, logarithmic</text>\n"
    );
    for (index, row) in shown.into_iter().enumerate() {
        let y = TOP + index * LINE;
        let _ = writeln!(svg, "<text x=\"10\" y=\"{}\">{}</text>", y + 17, row.name);
        bar(&mut svg, y, "#1d4ed8", row.cold_ms());
        bar(&mut svg, y + 13, "#0b7a5c", row.warm_ms());
    }
    svg + "</svg>\n"
}

fn bar(svg: &mut String, y: usize, color: &str, ms: f64) {
    let width = (ms / MIN_MS).log10().max(0.0) * DECADE;
    let _ = writeln!(
        svg,
        "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.0}\" height=\"12\" fill=\"{color}\"/>\
         <text x=\"{:.0}\" y=\"{}\" font-size=\"11\">{ms:.2}</text>",
        LEFT + width + 5.0,
        y + 10
    );
}
