//! The page: every section in its order, one file.

use std::path::{Path, PathBuf};

use crate::comparison::Comparison;
use crate::evaluation::metric_title;
use crate::gallery::gallery;
use crate::headline::headline;
use crate::html::{escape, section};
use crate::load::Run;
use crate::number::count;
use crate::{
    ReportError, appendix, curves, data, histogram, interval, live, outcome, seconds, timeline,
};

/// Style of charts.
const CHART_CSS: &str = include_str!("chart.css");
/// Style of pages.
const PAGE_CSS: &str = include_str!("page.css");

/// Writes `report.html` into a run folder and returns its path.
///
/// The page holds everything: style, drawings and images; it runs no script and loads nothing. It replaces
/// an earlier report whole, or not at all.
///
/// # Errors
/// No run folder, or one that holds nothing; a file that cannot be read or written.
pub fn write_report(run_dir: &Path) -> Result<PathBuf, ReportError> {
    let run = Run::load(run_dir)?;
    let files = ["metrics.jsonl", "evaluations.jsonl", "config.toml"];
    let is_empty = files.iter().all(|file| !run_dir.join(file).exists());
    if is_empty && run.predictions.is_empty() {
        return Err(ReportError::EmptyFolder(run_dir.to_owned()));
    }
    let page = page(&run)?;
    let path = run_dir.join("report.html");
    write(&path, &page)?;
    Ok(path)
}

/// Writes a page whole or not at all.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), ReportError> {
    vrft_config::replace(path, text)
        .map_err(|source| ReportError::Write { path: path.to_owned(), source })
}

fn page(run: &Run) -> Result<String, ReportError> {
    let comparison = Comparison::new(run);
    let headline = escape(&headline(&comparison));
    let name = escape(&run_name(run));
    let configuration =
        section("configuration", "Configuration", "", &appendix::configuration(run));
    let environment = section("environment", "Environment", "", &appendix::environment(run));
    let sections = [
        ("result", "Result", held_out(run, &comparison)),
        ("live", "Live answers", live::section_of(run)),
        ("training", "Training", training(run)),
        ("images", "Images", images(run)?),
        ("data", "Data", data::html(&run.data)),
        ("time", "Time", time(run)),
        ("configuration", "Configuration", configuration),
        ("environment", "Environment", environment),
    ];
    let shown = sections.iter().filter(|(_, _, html)| !html.is_empty());
    let links: String =
        shown.map(|(id, title, _)| format!("<a href=\"#{id}\">{title}</a>")).collect();
    let sections: String = sections.into_iter().map(|(_, _, html)| html).collect();
    let verdicts = verdicts(run);
    let recipe = appendix::recipe(run);
    let warnings = appendix::warnings(run);
    let title = format!("{name} \u{2013} report");
    let header = format!(
        "\n<p class=run><span>{name}</span></p>\n<h1>{headline}</h1>\n{verdicts}{warnings}{recipe}<nav>{links}</nav>\n"
    );
    let footer = ". This page is complete in itself: it loads nothing and runs no script.";
    Ok(document(&title, "img-src data:; ", &header, &sections, footer))
}

/// A page that is complete in itself; all parts of it are HTML. `also_loads` is what the policy of its contents allows beside
/// its own style, as in `img-src data:; `; `footer` goes on after who has written it.
pub(crate) fn document(
    title: &str,
    also_loads: &str,
    header: &str,
    main: &str,
    footer: &str,
) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "<!DOCTYPE html>
<html lang=en>
<head>
<meta charset=utf-8>
<meta name=viewport content=\"width=device-width, initial-scale=1\">
<meta name=color-scheme content=\"light dark\">
<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; {also_loads}style-src 'unsafe-inline'\">
<title>{title}</title>
<style>
{PAGE_CSS}{CHART_CSS}</style>
</head>
<body>
<header>{header}</header>
<main>
{main}</main>
<footer>Written by vrft {version}{footer}</footer>
</body>
</html>
"
    )
}

/// What the numbers say is wrong with the run, if anything.
fn verdicts(run: &Run) -> String {
    let verdicts = crate::diagnosis::of_run(run);
    let item = |verdict: &crate::Verdict| format!("<li>{}</li>", escape(&verdict.to_string()));
    let items: String = verdicts.iter().map(item).collect();
    if items.is_empty() { items } else { format!("<ul class=verdicts>{items}</ul>\n") }
}

/// The configured name, or that of the folder.
fn run_name(run: &Run) -> String {
    let folder = || run.dir.file_name().map(|name| name.to_string_lossy().into_owned());
    let configured = run.config.as_ref().map(|config| config.run.name.clone());
    configured.filter(|name| !name.is_empty()).or_else(folder).unwrap_or_else(|| "run".to_owned())
}

fn held_out(run: &Run, comparison: &Comparison) -> String {
    let figures = [
        interval::figure_of(comparison),
        histogram::figure_of(run),
        curves::held_out(run, comparison),
    ];
    let n = comparison.rows.iter().map(|row| row.n).max().unwrap_or(0);
    let best = best(run);
    let metric = escape(comparison.metrics.first().map_or("", |name| metric_title(name)));
    let has_baseline =
        run.teams.supervised().next().is_some() && run.teams.reinforced().next().is_some();
    let baseline = if has_baseline {
        " SFT is the supervised baseline from the same start and the same samples."
    } else {
        ""
    };
    let intro = format!(
        "{}.{baseline} \
         Shown is the last version of each policy{best}. Ranges are 95 % confidence intervals of {metric}; \
         small signed numbers are differences to base.",
        count(n, "held-out sample"),
    );
    section("result", "Result", &intro, &(outcome::table(comparison) + &grid(&figures.concat())))
}

/// What was the best of each policy, behind what is said of the last.
fn best(run: &Run) -> String {
    if run.best.is_empty() {
        return ", not its best".to_owned();
    }
    let told = run.best.iter().map(|best| format!(" {best}: <code>{}</code>.", best.checkpoint));
    let told: String = told.collect();
    format!(".{}", told.trim_end_matches('.'))
}

fn training(run: &Run) -> String {
    let intro = "One point for each learner step; the line is their moving mean. Numbers beside a name are the line's first and last value.";
    section("training", "Training", intro, &grid(&curves::training(run)))
}

fn images(run: &Run) -> Result<String, ReportError> {
    let gallery = gallery(run)?;
    Ok(section("images", "Held-out images", &gallery.rule, &gallery.html))
}

fn time(run: &Run) -> String {
    let figures = timeline::figures(run) + &seconds::figures(run) + &curves::waiting(run);
    section("time", "Time", "", &grid(&figures))
}

pub(crate) fn grid(figures: &str) -> String {
    if figures.is_empty() {
        String::new()
    } else {
        format!("<div class=grid-of-charts>\n{figures}</div>")
    }
}
