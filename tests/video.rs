//! Frames of video files as pictures, and the recordings of robots: what needs `ffmpeg`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float32Array, Int64Array, ListArray, RecordBatch, StringArray};
use arrow::datatypes::Float32Type;
use parquet::arrow::ArrowWriter;
use serde_json::json;
use vrft_dataset::{Dataset, OpenOptions, Question, RobotConfig, Truth};
use vrft_tests::cluster::{dora, dora_run, stock_graph};
use vrft_tests::harness::Absent;
use vrft_tests::{Run, root, vrft};

/// The program that the dataset crate decodes videos with.
///
/// # Errors
/// It is neither on the path nor named by `FFMPEG`.
fn ffmpeg() -> Result<PathBuf, Absent> {
    let program = std::env::var_os("FFMPEG").map_or_else(|| "ffmpeg".into(), PathBuf::from);
    let works = Command::new(&program).arg("-version").output();
    if works.is_ok_and(|output| output.status.success()) {
        return Ok(program);
    }
    Err(Absent::new("needs ffmpeg on the path, or named in FFMPEG"))
}

/// A video of 64 × 64 pixels and 5 frames a second, black but for the time from `white.0` to `white.1`.
fn video(ffmpeg: &Path, path: &Path, secs: u32, white: (f64, f64)) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let source = format!("color=c=black:s=64x64:r=5:d={secs}");
    // The last frame before the end of the interval is white, that at its end is not.
    let (from, to) = (white.0 - 0.05, white.1 - 0.05);
    let filter = format!("drawbox=color=white:t=fill:enable='between(t,{from},{to})'");
    let status = Command::new(ffmpeg)
        .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", &source, "-vf", &filter])
        .args(["-c:v", "mpeg4", "-q:v", "2", "-y"])
        .arg(path)
        .status();
    assert!(status.unwrap().success(), "ffmpeg cannot write {path:?}");
}

/// Mean brightness of a picture.
fn brightness(picture: &vrft_dataset::Picture) -> f64 {
    let rgb = picture.decode().unwrap().rgb;
    rgb.iter().map(|value| f64::from(*value)).sum::<f64>() / rgb.len() as f64
}

fn frames_of_a_video_are_shown_with_their_times() -> Result<(), Absent> {
    let ffmpeg = ffmpeg()?;
    let folder = tempfile::tempdir().unwrap();
    video(&ffmpeg, &folder.path().join("a.mp4"), 4, (1.0, 3.0));
    let row =
        json!({"video": "a.mp4", "problem": "<video>When is it white?", "solution": "1 to 3"});
    let path = folder.path().join("rows.jsonl");
    std::fs::write(&path, row.to_string()).unwrap();
    let dataset = Dataset::open(&path).unwrap();
    let row = dataset.get(0);
    let white: Vec<bool> = row.pictures.iter().map(|frame| brightness(frame) > 128.0).collect();
    assert_eq!(white, [false, true, true, false]);
    assert_eq!(row.pictures[0].header().displayed(), (64, 64));
    let Question::Turns(turns) = &row.question else { panic!("a question in words") };
    let words = "<0.0 seconds><1.0 seconds><2.0 seconds><3.0 seconds>When is it white?";
    assert_eq!((turns[0].text().as_str(), turns[0].n_images()), (words, 4));
    // A file that is no video, and one that is not there, are rows without use.
    std::fs::write(folder.path().join("no.mp4"), "no video").unwrap();
    for (name, why) in [("no.mp4", "ffmpeg cannot read"), ("gone.mp4", "cannot read")] {
        let row = json!({"video": name, "problem": "When?", "solution": "1"});
        std::fs::write(&path, row.to_string()).unwrap();
        let error = Dataset::open(&path).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(why), "{error}");
    }
    Ok(())
}

/// Temporal-RLT's first task: when does it happen?
fn when_something_happens_in_a_video_is_learned() -> Result<(), Absent> {
    let ffmpeg = ffmpeg()?;
    vrft();
    let preset = root().join("configs/rewards/temporal-rlt/grounding.toml");
    let run = Run::small()
        .set(&format!("reward.preset={}", preset.display()))
        .set("data.frames.max=4")
        .set("rollout.max_completion_tokens=24")
        .set("learner.steps=2")
        .set("data.shots=0");
    let row = |n: u32| {
        let (from, to) = (f64::from(n), f64::from(n + 2));
        video(&ffmpeg, &run.folder().join(format!("{n}.mp4")), 6, (from, to));
        let solution = format!("<answer>{{\"start_time\": {from}, \"end_time\": {to}}}</answer>");
        json!({"video": format!("{n}.mp4"), "problem": "<video>When is it white?", "solution": solution})
            .to_string()
    };
    let data = run.folder().join("rows.jsonl");
    std::fs::write(&data, (0..4).map(row).collect::<Vec<_>>().join("\n")).unwrap();
    let data = data.display().to_string();
    let run = run.set(&format!("data.train={data}")).set(&format!("evaluation.test={data}"));
    let outcome = run.finish().ok();
    assert!(outcome.stdout.contains("4 rows, 4 usable, 0 skipped, 4 used"), "{}", outcome.stdout);
    assert_eq!(run.metric("learner", "policy/loss").len(), 2);
    let best_constant =
        run.lines("evaluations.jsonl").into_iter().find(|line| line["label"] == "constant");
    assert!(best_constant.is_some_and(|line| line["n"] == 4), "the intervals were not judged");
    Ok(())
}

fn parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn ints(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn floats(values: impl IntoIterator<Item = f32>) -> ArrayRef {
    Arc::new(Float32Array::from_iter_values(values))
}

/// Ten moments of two seconds, of which the action is the number.
fn moments(episode: i64) -> Vec<(&'static str, ArrayRef)> {
    let actions = (0..10).map(|n| Some(vec![Some(n as f32), Some(episode as f32)]));
    vec![
        (
            "action",
            Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(actions)) as ArrayRef,
        ),
        ("timestamp", floats((0..10).map(|n| n as f32 / 5.0))),
        ("frame_index", ints(0..10)),
        ("episode_index", ints([episode; 10])),
        ("index", ints((0..10).map(|n| 10 * episode + n))),
        ("task_index", ints([episode; 10])),
    ]
}

fn info(folder: &Path, version: &str, data: &str, videos: &str) {
    let info = json!({
    "codebase_version": version, "fps": 5, "chunks_size": 1000, "data_path": data, "video_path": videos,
    "features": {
        "action": {"dtype": "float32", "shape": [2]},
        "timestamp": {"dtype": "float32", "shape": [1]},
        "observation.images.top": {"dtype": "video", "shape": [64, 64, 3]},
    }});
    std::fs::create_dir_all(folder.join("meta")).unwrap();
    std::fs::write(folder.join("meta/info.json"), info.to_string()).unwrap();
}

const TASKS: [&str; 2] = ["Pick up the cup.", "Open the drawer."];

/// A table and a video for each episode, in the first of which the light is on in the second second.
fn version_2(ffmpeg: &Path, folder: &Path) {
    let videos = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4";
    info(
        folder,
        "v2.1",
        "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        videos,
    );
    let task = |n: usize| json!({"task_index": n, "task": TASKS[n]}).to_string();
    std::fs::write(folder.join("meta/tasks.jsonl"), [task(0), task(1)].join("\n")).unwrap();
    for (episode, white) in [(0, (1.0, 2.0)), (1, (0.0, 1.0))] {
        parquet(
            &folder.join(format!("data/chunk-000/episode_{episode:06}.parquet")),
            moments(episode),
        );
        let name = format!("videos/chunk-000/observation.images.top/episode_{episode:06}.mp4");
        video(ffmpeg, &folder.join(name), 2, white);
    }
}

/// Both episodes in one table and one video.
fn version_3(ffmpeg: &Path, folder: &Path) {
    let videos = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4";
    info(folder, "v3.0", "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet", videos);
    let words: ArrayRef = Arc::new(StringArray::from(TASKS.to_vec()));
    parquet(
        &folder.join("meta/tasks.parquet"),
        vec![("task_index", ints([0, 1])), ("__index_level_0__", words)],
    );
    let key = |what: &str| format!("videos/observation.images.top/{what}");
    let (chunk, file, from) = (key("chunk_index"), key("file_index"), key("from_timestamp"));
    parquet(
        &folder.join("meta/episodes/chunk-000/file-000.parquet"),
        vec![
            ("episode_index", ints([0, 1])),
            (&chunk, ints([0, 0])),
            (&file, ints([0, 0])),
            (&from, floats([0.0, 2.0])),
        ],
    );
    let columns = moments(0).into_iter().zip(moments(1)).map(|((name, first), (_, second))| {
        (name, arrow::compute::concat(&[&first, &second]).unwrap())
    });
    parquet(&folder.join("data/chunk-000/file-000.parquet"), columns.collect());
    let name = "videos/observation.images.top/chunk-000/file-000.mp4";
    video(ffmpeg, &folder.join(name), 4, (1.0, 3.0));
}

fn episodes_of_a_robot_are_rows_in_both_versions_of_lerobot() -> Result<(), Absent> {
    let ffmpeg = ffmpeg()?;
    for write in [version_2, version_3] {
        let folder = tempfile::tempdir().unwrap();
        write(&ffmpeg, folder.path());
        let robot = RobotConfig {
            truth: "action".to_owned(),
            question: "{task} What next?".to_owned(),
            ..RobotConfig::default()
        };
        let options = OpenOptions { robot, ..OpenOptions::default() };
        let dataset = Dataset::open_with(folder.path(), &options).unwrap();
        let rows: Vec<(String, String, bool)> = dataset
            .iter()
            .map(|row| {
                let Question::Turns(turns) = &row.question else { panic!("a question in words") };
                let Truth::Text(truth) = &row.truth else { panic!("an answer in words") };
                (turns[0].text(), truth.to_string(), brightness(&row.pictures[0]) > 128.0)
            })
            .collect();
        let row = |task: usize, truth: &str, is_white| {
            (format!("{} What next?", TASKS[task]), truth.to_owned(), is_white)
        };
        let expected = [
            row(0, "[0.0,0.0]", false),
            row(0, "[5.0,0.0]", true),
            row(1, "[0.0,1.0]", true),
            row(1, "[5.0,1.0]", false),
        ];
        assert_eq!(rows, expected);
        assert_eq!(dataset.get(1).sample_id(), "episode-000000-frame-000005");
        // Without a column that says what is true there is nothing to learn, which lists what there is.
        let error = Dataset::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("data.robot.truth") && error.contains("action"), "{error}");
    }
    Ok(())
}

/// As [`version_3`], with a second camera that has a file for each episode, and one that sees distances.
fn several_cameras(ffmpeg: &Path, folder: &Path) {
    version_3(ffmpeg, folder);
    let path = folder.join("meta/info.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut info: serde_json::Value = serde_json::from_str(&text).unwrap();
    let camera = |is_depth: bool| json!({"dtype": "video", "shape": [64, 64, 3], "info": {"video.is_depth_map": is_depth}});
    info["features"]["observation.images.side"] = camera(false);
    info["features"]["observation.images.depth"] = camera(true);
    info["splits"] = json!({"train": "0:1", "test": "1:2"});
    info["total_frames"] = 30.into();
    std::fs::write(&path, info.to_string()).unwrap();
    let places = |camera: &str, files: [i64; 2], from: [f32; 2]| {
        let key = |what: &str| format!("videos/observation.images.{camera}/{what}");
        [
            (key("chunk_index"), ints([0, 0])),
            (key("file_index"), ints(files)),
            (key("from_timestamp"), floats(from)),
        ]
    };
    let columns = [places("top", [0, 0], [0.0, 2.0]), places("side", [0, 1], [0.0, 0.0])].concat();
    let episodes = ("episode_index", ints([0, 1]));
    let columns = columns.iter().map(|(name, values)| (name.as_str(), Arc::clone(values)));
    parquet(
        &folder.join("meta/episodes/chunk-000/file-000.parquet"),
        columns.chain([episodes]).collect(),
    );
    for (file, white) in [(0, (0.0, 1.0)), (1, (1.0, 2.0))] {
        let name = format!("videos/observation.images.side/chunk-000/file-{file:03}.mp4");
        video(ffmpeg, &folder.join(name), 2, white);
    }
}

fn each_camera_of_an_episode_is_read_from_its_own_file_and_place() -> Result<(), Absent> {
    let ffmpeg = ffmpeg()?;
    let folder = tempfile::tempdir().unwrap();
    several_cameras(&ffmpeg, folder.path());
    let open = |split: &str, cameras: &[&str]| {
        let cameras = cameras.iter().map(|camera| format!("observation.images.{camera}"));
        let robot = RobotConfig {
            truth: "action".to_owned(),
            cameras: cameras.collect(),
            ..RobotConfig::default()
        };
        let split = Some(split.to_owned());
        Dataset::open_with(folder.path(), &OpenOptions { robot, split, ..OpenOptions::default() })
    };
    let seen = |split: &str, cameras: &[&str]| -> Vec<Vec<bool>> {
        let dataset = open(split, cameras).unwrap();
        let white = |row: &vrft_dataset::Row| {
            row.pictures.iter().map(|picture| brightness(picture) > 128.0).collect()
        };
        dataset.iter().map(white).collect()
    };
    // As info.json lists the cameras: top, then side. Each split has one episode of two rows.
    assert_eq!(seen("train", &[]), [[false, true], [true, false]]);
    assert_eq!(seen("test", &[]), [[true, false], [false, true]]);
    assert_eq!(seen("test", &["top"]), [[true], [false]]);
    let notes = open("train", &[]).unwrap().notes().join(" ");
    for words in ["observation.images.depth", "20 moments are in data/", "says 30"] {
        assert!(notes.contains(words), "{notes}");
    }
    // Where a video is not named, it is not guessed.
    let error = open("train", &["depth"]).unwrap_err().to_string();
    assert!(error.contains("meta/episodes does not say where observation.images.depth"), "{error}");
    Ok(())
}

/// Longer than two steps take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// What dora's hub records for LLaMA-Factory: questions about pictures with their answers, in a list.
fn recorded(folder: &Path) -> PathBuf {
    let photos = Dataset::open(&root().join("data/digits/test.parquet")).unwrap();
    std::fs::create_dir_all(folder.join("demo")).unwrap();
    let row = |n: usize| {
        let photo = photos.get(n).pictures[0].bytes().unwrap();
        std::fs::write(folder.join(format!("demo/{n}.png")), photo).unwrap();
        let said = ["Turn left.", "Stop."][n % 2];
        json!({"messages": [
            {"role": "user", "content": "<image>What should the robot do?"},
            {"role": "assistant", "content": said},
        ], "images": [format!("demo/{n}.png")]})
    };
    let path = folder.join("demo.json");
    std::fs::write(&path, json!((0..4).map(row).collect::<Vec<_>>()).to_string()).unwrap();
    path
}

fn what_robots_record_is_learned_through_the_stock_cli_as_through_ours() -> Result<(), Absent> {
    let (ffmpeg, dora) = (ffmpeg()?, dora()?);
    vrft();
    let data = tempfile::tempdir().unwrap();
    let (old, new) = (data.path().join("old"), data.path().join("new"));
    version_2(&ffmpeg, &old);
    version_3(&ffmpeg, &new);
    video(&ffmpeg, &data.path().join("a.mp4"), 4, (1.0, 3.0));
    let row =
        json!({"video": "a.mp4", "problem": "<video>When is it white?", "solution": "1 to 3"});
    let film = data.path().join("rows.jsonl");
    std::fs::write(&film, [row.to_string(), row.to_string()].join("\n")).unwrap();
    for rows in [recorded(data.path()), old, new, film] {
        let preset = root().join("configs/rewards/vlm-r1/ocr.toml");
        let run = Run::small()
            .set(&format!("reward.preset={}", preset.display()))
            .set(&format!("data.train={}", rows.display()))
            .set(&format!("evaluation.test={}", rows.display()))
            .set("data.robot.truth=action")
            .set("data.robot.question=\"{task} What next?\"")
            .set("data.frames.max=4")
            .set("data.shots=0")
            .set("rollout.max_completion_tokens=8")
            .set("learner.steps=2");
        run.finish().ok();
        let config = run.out().join("config.toml");
        let graph = stock_graph(&root().join("dataflow.yml"), &config, &run.folder().join("stock"));
        let by_stock = run.folder().join("by-stock");
        let variables = [("VRFT_RUN_DIR", by_stock.as_path())];
        let (code, log) = dora_run(&dora, &graph, None, &variables, PATIENCE);
        assert_eq!(code, Some(0), "{}\n{log}", rows.display());
        let weights = by_stock.join("checkpoints/learner/step-000002/model.safetensors");
        let weights = std::fs::read(weights).unwrap();
        assert!(weights == run.final_weights("learner"), "{}", rows.display());
        let metrics = std::fs::read_to_string(by_stock.join("metrics.jsonl")).unwrap();
        // Two steps of each of the two learners.
        assert_eq!(metrics.matches("\"name\":\"policy/loss\"").count(), 4, "{metrics}");
    }
    Ok(())
}

vrft_tests::tests_that_need_tools!(
    what_robots_record_is_learned_through_the_stock_cli_as_through_ours,
    each_camera_of_an_episode_is_read_from_its_own_file_and_place,
    frames_of_a_video_are_shown_with_their_times,
    when_something_happens_in_a_video_is_learned,
    episodes_of_a_robot_are_rows_in_both_versions_of_lerobot,
);
