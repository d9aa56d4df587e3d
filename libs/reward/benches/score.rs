//! Scoring answers: 10,000 detection answers of five boxes each should take well under a second on one core.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vrft_reward::Reward;

const N: u32 = 10_000;

fn answers() -> Vec<String> {
    let bbox = |k: u32| {
        let (x, y) = (k * 37 % 700, k * 53 % 700);
        format!(
            "{{'Position': [{x}, {y}, {}, {}], 'Confidence': 0.{}}}",
            x + 200,
            y + 150,
            10 + k % 90
        )
    };
    let answer = |n: u32| {
        let boxes: Vec<String> = (0..5).map(|k| bbox(7 * n + k)).collect();
        format!("<think>some boxes</think><answer>[{}]</answer>", boxes.join(", "))
    };
    (0..N).map(answer).collect()
}

fn score(criterion: &mut Criterion) {
    let answers = answers();
    let reward = Reward::new(&vrft_reward::config::RewardConfig::default());
    let truth = reward.parse_answer(&answers[17]).expect("the truth is one of the answers");
    let mut group = criterion.benchmark_group("score");
    group.throughput(Throughput::Elements(u64::from(N))).sample_size(10);
    group.bench_function("10,000 detection answers", |bencher| {
        bencher.iter(|| {
            answers.iter().filter_map(|text| reward.score(text, &truth).total).sum::<f64>()
        });
    });
    group.finish();
}

criterion_group!(benches, score);
criterion_main!(benches);
