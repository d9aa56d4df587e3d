//! Tables as a page that is complete in itself.

use super::Results;
use crate::evaluation::metric_title;
use crate::html::escape;
use crate::page::document;

/// All tables, one after the other.
pub(super) fn page(tables: &[Results]) -> String {
    let sections: String = tables.iter().map(section).collect();
    let footer = ": mean \u{b1} half of the 95 % confidence interval over seeds (Student's t). This page is complete in itself.";
    document("Tables", "", "<h1>Tables</h1>", &sections, footer)
}

fn section(results: &Results) -> String {
    let head = &results.head;
    let source = if head.source.is_empty() {
        String::new()
    } else {
        format!(
            "<p class=intro>Numbers under \u{201c}paper\u{201d}: {}.</p>\n",
            escape(&head.source)
        )
    };
    let command = if head.command.is_empty() {
        String::new()
    } else {
        format!("<p class=intro><code>{}</code></p>\n", escape(&head.command))
    };
    let differences = if results.differences.is_empty() {
        String::new()
    } else {
        titled(&results.differences_title(), &results.difference_lines())
    };
    let fits = results.fit_lines().into_iter();
    let fits: String = fits.map(|(title, lines)| titled(&title, &lines)).collect();
    let remarks: String =
        head.remarks.iter().map(|remark| format!("<li>{}</li>", escape(remark))).collect();
    let remarks = if remarks.is_empty() { remarks } else { format!("<ul>{remarks}</ul>\n") };
    format!(
        "<section>\n<h2>{}</h2>\n{source}{command}{}{}{differences}{fits}{remarks}</section>\n",
        escape(&head.title),
        figure(results),
        table(&results.lines()),
    )
}

/// The first metric over shots, with its legend.
fn figure(results: &Results) -> String {
    let Some((plot, legend)) = results.plot() else { return String::new() };
    let metric = results.head.metrics.first().map_or("", |name| metric_title(name));
    let legend: String = legend
        .iter()
        .map(|(name, class)| format!("<li class={class}><i class=swatch></i>{}</li>", escape(name)))
        .collect();
    format!(
        "<figure style=\"max-width:40em\"><figcaption>Held-out {} by shots; bars are 95 % confidence intervals over seeds</figcaption>\
         <ul class=legend>{legend}</ul>{plot}</figure>\n",
        escape(metric)
    )
}

/// A further table below its title.
fn titled(title: &str, lines: &[Vec<String>]) -> String {
    let title = escape(title);
    format!("<p class=intro style=\"margin-top:1.5em\">{title}:</p>\n{}", table(lines))
}

/// Lines, the first of them the heading.
fn table(lines: &[Vec<String>]) -> String {
    let Some((head, rows)) = lines.split_first() else { return String::new() };
    let head: String =
        head.iter().map(|cell| format!("<th scope=col>{}</th>", escape(cell))).collect();
    let row = |line: &Vec<String>| -> String {
        let cells = line.iter().enumerate().map(|(idx, cell)| match idx {
            0 => format!("<th scope=row>{}</th>", escape(cell)),
            _ => format!("<td>{}</td>", escape(cell)),
        });
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let rows: String = rows.iter().map(row).collect();
    format!(
        "<div class=scroll><table>\n<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>\n"
    )
}
