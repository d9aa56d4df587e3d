//! Draws `camera.png`, the docs' picture of a camera run, as SVG: held-out frames as they were shown, what the policy
//! said of them before and after, and the held-out score over the run beside that of the best constant answer.
//!
//! ```sh
//! cargo run --release -p vrft-report --example camera -- out/my-run | rsvg-convert -o docs/src/pictures/camera.png
//! ```
#![expect(clippy::print_stdout, reason = "the drawing is what is printed")]

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

type Failure = Box<dyn std::error::Error>;

const COLUMNS: usize = 6;
const ROWS: usize = 2;
const SIDE: f64 = 104.0;
const PITCH: (f64, f64) = (116.0, 166.0);
const TOP: f64 = 56.0;
/// Left edge, width and height of the curve.
const PLOT: (f64, f64, f64) = (800.0, 500.0, 258.0);

fn main() -> Result<(), Failure> {
    let run = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let run = Path::new(&run);
    println!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1360\" height=\"400\" font-family=\"DejaVu Sans\" \
         font-size=\"13\" fill=\"#1a1f26\"><rect width=\"1360\" height=\"400\" fill=\"#fff\"/>{}{}</svg>",
        strip(run)?,
        curve(run)?
    );
    Ok(())
}

fn lines(path: &Path) -> Result<Vec<Value>, Failure> {
    let text = fs::read_to_string(path)?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// The first held-out questions, in the order of the file.
fn strip(run: &Path) -> Result<String, Failure> {
    let before = lines(&run.join("predictions-base.jsonl"))?;
    let after = lines(&run.join("predictions-rft.jsonl"))?;
    let mut drawing = heading(20.0, "Held-out frames, turned, and what the policy says of them");
    for (n, (before, after)) in before.iter().zip(&after).take(COLUMNS * ROWS).enumerate() {
        let file = STANDARD.encode(fs::read(run.join(format!("images/{n:04}.png")))?);
        let x = 20.0 + (n % COLUMNS) as f64 * PITCH.0;
        let y = TOP + (n / COLUMNS) as f64 * PITCH.1;
        drawing += &format!(
            "<image x=\"{x}\" y=\"{y}\" width=\"{SIDE}\" height=\"{SIDE}\" href=\"data:image/png;base64,{file}\"/>\n"
        );
        let below = y + SIDE;
        let truth = after["truth"].as_str().unwrap_or_default();
        drawing += &format!("<text x=\"{x}\" y=\"{}\">turned by {truth}°</text>\n", below + 16.0);
        drawing += &said(x, below + 32.0, "before", before);
        drawing += &said(x, below + 48.0, "after", after);
    }
    Ok(drawing)
}

fn heading(x: f64, text: &str) -> String {
    format!("<text x=\"{x}\" y=\"32\" font-size=\"16\" font-weight=\"bold\">{text}</text>\n")
}

fn said(x: f64, y: f64, when: &str, prediction: &Value) -> String {
    let said = prediction["predicted"].as_str().filter(|said| said.len() < 6).unwrap_or("–");
    let (color, mark) =
        if said == prediction["truth"] { ("#00795c", "✓") } else { ("#c2500a", "✗") };
    format!("<text x=\"{x}\" y=\"{y}\" fill=\"{color}\">{when} {said}° {mark}</text>\n")
}

/// Held-out accuracy over learner steps with its 95 % intervals, and two levels to compare with.
fn curve(run: &Path) -> Result<String, Failure> {
    let evaluations = lines(&run.join("evaluations.jsonl"))?;
    let value = |e: &Value, name: &str| e["metrics"][name].as_f64().unwrap_or(0.0);
    let steps = evaluations.iter().filter(|e| e["label"] == "rft" || e["label"] == "base");
    let mut points: Vec<(f64, &Value)> =
        steps.map(|e| (e["policy_version"].as_f64().unwrap_or(0.0), e)).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let last = points.last().map_or(1.0, |point| point.0.max(1.0));
    let (left, width, height) = PLOT;
    let x = |step: f64| left + step / last * width;
    let y = |share: f64| TOP + (1.0 - share) * height;
    let n = points.first().and_then(|point| point.1["n"].as_u64()).unwrap_or(0);
    let mut drawing = heading(left - 40.0, &format!("Held-out accuracy, {n} questions"));
    for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
        drawing += &format!(
            "<path d=\"M{left},{0}h{width}\" stroke=\"#e4e7ec\"/><text x=\"{1}\" y=\"{2}\" text-anchor=\"end\">{share}</text>\n",
            y(share),
            left - 8.0,
            y(share) + 4.0
        );
    }
    if let Some(constant) = evaluations.iter().find(|e| e["label"] == "constant") {
        let level = y(value(constant, "accuracy"));
        drawing += &format!(
            "<path d=\"M{left},{level}h{width}\" stroke=\"#5a6472\" stroke-width=\"2\" stroke-dasharray=\"6 5\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#5a6472\">the best answer that never looks</text>\n",
            left + width,
            level + 18.0
        );
    }
    let mut path = String::new();
    for (step, e) in &points {
        let (x, at) = (x(*step), y(value(e, "accuracy")));
        let (low, high) = (y(value(e, "accuracy_ci_low")), y(value(e, "accuracy_ci_high")));
        path += &format!("{}{x:.1},{at:.1}", if path.is_empty() { "M" } else { "L" });
        drawing += &format!(
            "<path d=\"M{x:.1},{low:.1}V{high:.1}\" stroke=\"#00795c\" opacity=\".45\"/>\
             <circle cx=\"{x:.1}\" cy=\"{at:.1}\" r=\"3\" fill=\"#00795c\"/>\n"
        );
    }
    drawing +=
        &format!("<path d=\"{path}\" fill=\"none\" stroke=\"#00795c\" stroke-width=\"2.2\"/>\n");
    for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
        drawing += &format!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{:.0}</text>\n",
            x(share * last),
            y(0.0) + 20.0,
            share * last
        );
    }
    drawing += &format!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">learner step; bars: 95 % confidence</text>\n",
        left + width / 2.0,
        y(0.0) + 42.0
    );
    Ok(drawing)
}
