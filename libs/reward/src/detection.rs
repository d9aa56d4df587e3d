//! The IoU and confidence terms of detection.
//!
//! With n predictions, m true boxes, `u_i` the IoU of prediction i with the box it is matched to and `c_i` its
//! confidence; a prediction *hits* when `u_i` is above the threshold:
//!
//! | | paper (arXiv 2503.01785, equations 5 to 8) | fixed |
//! |---|---|---|
//! | IoU | Σ u_i / n | Σ u_i / max(n, m) |
//! | confidence | Σ (hit ? c_i : 1 - c_i) / n | max(0, Σ (hit ? c_i : -c_i) / max(n, m)) |
//! | nothing predicted, m > 0 | 0 | 0 |
//! | nothing predicted, m = 0 | 0 | 1, if the answer says so |
//!
//! Dividing by max(n, m) makes each missed box cost as much as each invented one; by n alone, one safe box out of
//! ten earns everything. The paper's confidence term pays 1 for boxes that are all wrong and have confidence 0;
//! the fixed one pays nothing for a box that does not hit, and takes from what the hits earned as much as the
//! policy was sure of it, so that the best confidence is still high where a hit is likely and 0 where it is not.
//! It stops at 0: an attempt is never worse than text that cannot be read.
//!
//! A prediction whose box or confidence is not valid counts in n and earns 0 in both terms. Boxes repeated to the
//! digit are counted once when fixed.

use config::{IouTerm, RewardConfig, RewardMode};

use crate::extract::{answer_text, extract_anywhere};
use crate::{BBox, Detection, Flaw, Reading, match_greedily, read_detections};

/// Both terms of one completion, each from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct DetectionTerms {
    pub(crate) iou: f64,
    pub(crate) confidence: f64,
}

const NOTHING: DetectionTerms = DetectionTerms { iou: 0.0, confidence: 0.0 };
const ALL: DetectionTerms = DetectionTerms { iou: 1.0, confidence: 1.0 };

/// Compares the boxes that a completion predicts with the true ones.
pub(crate) fn detection(completion: &str, truth: &[BBox], config: &RewardConfig) -> DetectionTerms {
    let answer = match config.mode {
        RewardMode::Paper => Some(extract_anywhere(completion)),
        RewardMode::Fixed => answer_text(completion),
    };
    match answer.map_or(Reading::Unreadable, read_detections) {
        Reading::Predictions(predictions) => compare(predictions, truth, config),
        Reading::Nothing if truth.is_empty() && config.mode == RewardMode::Fixed => ALL,
        Reading::Nothing | Reading::Unreadable => NOTHING,
    }
}

fn compare(
    mut predictions: Vec<Result<Detection, Flaw>>,
    truth: &[BBox],
    config: &RewardConfig,
) -> DetectionTerms {
    if config.mode == RewardMode::Fixed {
        drop_repeated(&mut predictions);
    }
    let valid: Vec<Detection> = predictions.iter().filter_map(|p| p.ok()).collect();
    let min_iou = match config.iou {
        IouTerm::Thresholded => config.iou_threshold,
        IouTerm::Smooth => 0.0,
    };
    let matches = match_greedily(&valid, truth, min_iou);
    let iou: f64 = matches.iter().map(|m| m.iou).sum();
    let hits = matches.iter().map(|m| m.iou > config.iou_threshold);
    let confidence: f64 = hits
        .zip(&valid)
        .map(|(hit, prediction)| match (hit, config.mode) {
            (true, _) => prediction.confidence,
            (false, RewardMode::Paper) => 1.0 - prediction.confidence,
            (false, RewardMode::Fixed) => -prediction.confidence,
        })
        .sum();
    let count = match config.mode {
        RewardMode::Paper => predictions.len(),
        RewardMode::Fixed => predictions.len().max(truth.len()),
    } as f64;
    DetectionTerms { iou: iou / count, confidence: (confidence / count).max(0.0) }
}

/// Keeps the first of predictions with the very same box.
fn drop_repeated(predictions: &mut Vec<Result<Detection, Flaw>>) {
    let mut seen: Vec<BBox> = Vec::new();
    predictions.retain(|prediction| match prediction {
        Ok(Detection { bbox, .. }) if seen.contains(bbox) => false,
        Ok(Detection { bbox, .. }) => {
            seen.push(*bbox);
            true
        }
        Err(_) => true,
    });
}

#[cfg(test)]
#[path = "detection_tests.rs"]
mod tests;
