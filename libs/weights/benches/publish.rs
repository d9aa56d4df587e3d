//! Publishing and fetching 3 M weights, the starter policy's size: what a learner step adds to its own work.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use vrft_weights::Store;

fn publish(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = Store::new(dir.path()).expect("a store");
    let tensors: BTreeMap<_, _> = (0..30)
        .map(|layer| {
            let tensor = Tensor::randn(0f32, 1., (100, 1000), &Device::Cpu).expect("a tensor");
            (format!("layer.{layer}"), tensor)
        })
        .collect();
    let mut group = criterion.benchmark_group("3 M weights, f32");
    group.bench_function("publish", |bench| bench.iter(|| store.publish(1, &tensors)));
    let version = store.publish(1, &tensors).expect("published weights");
    group.bench_function("fetch", |bench| bench.iter(|| vrft_weights::fetch(&version)));
    group.finish();
}

criterion_group!(benches, publish);
criterion_main!(benches);
