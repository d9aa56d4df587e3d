//! A teacher is believed until a person says otherwise.

use super::*;
use crate::Remark;

fn remark(remark: Remark) -> Feedback {
    Feedback { frame_id: "7".into(), remark, user: String::new(), right: None, answer: None }
}

/// Share of even coins by which the teacher's boxes, the edited ones, or none are asked for.
fn shares(labels: &Labels) -> [f64; 3] {
    let label = labels.get("7").unwrap();
    let n = 198;
    let mut counts = [0.0; 3];
    for (a, b) in (0..n).flat_map(|a| (0..n).map(move |b| (a, b))) {
        let coin = |n_th: i32| (f64::from(n_th) + 0.5) / f64::from(n);
        match label.truth(coin(a), coin(b)) {
            Some(boxes) if boxes[0][0] == 100.0 => counts[0] += 1.0,
            Some(_) => counts[1] += 1.0,
            None => counts[2] += 1.0,
        }
    }
    counts.map(|count| (count / f64::from(n * n) * 100.0).round() / 100.0)
}

fn taught() -> Labels {
    let mut labels = Labels::new(4);
    labels.teach("7", &[[64.0, 28.0, 320.0, 140.0]], (640, 280));
    labels
}

#[test]
fn the_teacher_alone_is_believed() {
    assert_eq!(
        taught().get("7").unwrap().truth(0.99, 0.99),
        Some(&[[100.0, 100.0, 500.0, 500.0]][..])
    );
}

#[test]
fn a_persons_boxes_replace_the_teachers() {
    let mut labels = taught();
    labels.remark(&remark(Remark::Edit(vec![[1.0, 2.0, 30.0, 40.0]])));
    assert_eq!(shares(&labels), [0.0, 1.0, 0.0]);
    // What the teacher says after that is too late, and stars do not weigh against it.
    labels.teach("7", &[[64.0, 28.0, 320.0, 140.0]], (640, 280));
    labels.remark(&remark(Remark::Rate(1)));
    assert_eq!(shares(&labels), [0.0, 1.0, 0.0]);
}

#[test]
fn what_is_rejected_is_not_asked_until_somebody_corrects_it() {
    let mut labels = taught();
    labels.remark(&remark(Remark::Reject));
    assert_eq!(shares(&labels), [0.0, 0.0, 1.0]);
    assert!(labels.is_rejected("7") && !labels.can_ask("7"));
    labels.remark(&remark(Remark::Edit(vec![[1.0, 2.0, 30.0, 40.0]])));
    assert_eq!(shares(&labels), [0.0, 1.0, 0.0]);
    labels.remark(&remark(Remark::Reject));
    assert_eq!(shares(&labels), [0.0, 0.0, 1.0]);
    labels.remark(&remark(Remark::Accept));
    assert_eq!(shares(&labels), [0.0, 1.0, 0.0]);
}

#[test]
fn what_is_taken_back_was_never_said() {
    let mut labels = taught();
    labels.remark(&remark(Remark::Edit(vec![[1.0, 2.0, 30.0, 40.0]])));
    labels.remark(&remark(Remark::Retract));
    assert_eq!(shares(&labels), [1.0, 0.0, 0.0], "the teacher is believed again");
    let mut untaught = Labels::new(4);
    untaught.remark(&remark(Remark::Edit(vec![])));
    untaught.remark(&remark(Remark::Retract));
    assert!(!untaught.can_ask("7"), "nobody says any more what is in it");
}

#[test]
fn stars_say_how_often_the_teacher_is_believed() {
    let mut labels = taught();
    labels.remark(&remark(Remark::Rate(3)));
    assert_eq!(shares(&labels), [0.83, 0.0, 0.17]);
    labels.remark(&remark(Remark::Accept));
    assert_eq!(shares(&labels), [1.0, 0.0, 0.0]);
}

#[test]
fn a_person_can_do_without_a_teacher() {
    let mut labels = Labels::new(4);
    labels.remark(&remark(Remark::Accept));
    assert!(!labels.can_ask("7"));
    labels.remark(&remark(Remark::Edit(vec![])));
    assert!(labels.can_ask("7"));
    assert_eq!(labels.get("7").unwrap().truth(0.99, 0.0), Some(&[][..]));
}

#[test]
fn boxes_outside_the_frame_are_cut_or_left_out() {
    let mut labels = Labels::new(4);
    labels.teach(
        "7",
        &[[-10.0, 0.0, 50.0, 300.0], [200.0, 0.0, 300.0, 50.0], [f64::NAN; 4]],
        (100, 100),
    );
    assert_eq!(labels.get("7").unwrap().truth(0.0, 0.0), Some(&[[0.0, 0.0, 500.0, 1000.0]][..]));
}

#[test]
fn the_oldest_labels_are_forgotten() {
    let mut labels = Labels::new(2);
    (0..5).for_each(|n| labels.teach(&n.to_string(), &[], (10, 10)));
    assert!(!labels.can_ask("2") && labels.can_ask("3") && labels.can_ask("4"));
}

#[test]
fn questions_are_those_of_the_data_sets() {
    let (question, answer) = Labels::ask("mug", &[[1.2, 2.0, 30.0, 40.0]]);
    assert!(question.starts_with("Detect all objects belonging to the category 'mug'"));
    assert_eq!(answer, "<answer>[{'Position': [1, 2, 30, 40], 'Confidence': 1}]</answer>");
    assert_eq!(Labels::ask("mug", &[]).1, "<answer>No Objects</answer>");
}
