//! Scores of predictions against the truth, by the protocols that papers report: COCO's and LVIS's average precision,
//! gIoU and cIoU of ReasonSeg.
//!
//! Nothing here knows a model, a policy or a reward. The numbers equal those of `pycocotools` and `lvis-api`, which
//! `tests/detection.rs` holds them to.
//!
//! ```
//! use vrft_score::detection::{Evaluation, Prediction, Protocol, Truth};
//!
//! let truth = Truth::from_json(
//!     r#"{"images": [{"id": 1}], "categories": [{"id": 7, "name": "cat"}],
//!         "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [0, 0, 100, 100], "area": 10000}]}"#,
//! )?;
//! let predictions = Prediction::list_from_json(
//!     r#"[{"image_id": 1, "category_id": 7, "bbox": [0, 0, 100, 80], "score": 0.9}]"#,
//! )?;
//! let evaluation = Evaluation::new(&truth, &predictions, Protocol::Coco)?;
//! let summary = evaluation.summary();
//! assert!((summary.get("AP50").unwrap() - 1.0).abs() < 1e-12);
//! assert!((summary.get("AP").unwrap() - 0.7).abs() < 1e-12); // overlaps 0.5, 0.55, … 0.8 of ten
//! # Ok::<(), vrft_score::ScoreError>(())
//! ```

pub mod detection;
mod error;
mod interval;
pub mod mask;
pub mod reasoning;
pub mod runs;

pub use error::ScoreError;
pub use interval::{percentile_interval, percentile_intervals, ratio_interval};
