//! Messages as dora's hub nodes send them.

use arrow::array::{ListArray, StringArray};
use arrow::datatypes::{Float64Type, Int64Type};

use super::*;

fn tags(pairs: &[(&str, Tag)]) -> Tags {
    pairs.iter().map(|(name, tag)| ((*name).to_owned(), tag.clone())).collect()
}

fn words(text: &str) -> Tag {
    Tag::Text(text.to_owned())
}

#[test]
fn an_image_survives_the_wire() {
    let image =
        RawImage { bytes: &[1, 2, 3], encoding: "rgb8", width: 1, height: 1, frame_id: Some("7") };
    let (tags, data) = image.to_hub();
    assert_eq!(RawImage::from_hub(&tags, &data).unwrap(), image);
}

#[test]
fn an_image_without_metadata_is_what_opencv_sends() {
    let data: ArrayRef = Arc::new(UInt8Array::from(vec![0; 6]));
    let tags = Tags::new();
    let image = RawImage::from_hub(&tags, &data).unwrap();
    assert_eq!((image.encoding, image.width, image.height), ("bgr8", 640, 480));
}

#[test]
fn sides_that_cannot_be_are_none() {
    let data: ArrayRef = Arc::new(UInt8Array::from(vec![0; 6]));
    let tags = tags(&[("width", Tag::Integer(-4)), ("height", Tag::Float(f64::NAN))]);
    let image = RawImage::from_hub(&tags, &data).unwrap();
    assert_eq!((image.width, image.height), (0, 0));
    let tags = self::tags(&[("width", words("64"))]);
    assert_eq!(RawImage::from_hub(&tags, &data).unwrap().width, 0, "a text is no default either");
}

#[test]
fn bytes_that_are_missing_are_not_made_up() {
    let data: ArrayRef = Arc::new(UInt8Array::from(vec![Some(1), None, Some(3)]));
    let error = RawImage::from_hub(&Tags::new(), &data).unwrap_err().to_string();
    assert!(error.contains("1 nulls"), "{error}");
}

#[test]
fn what_is_not_bytes_is_no_image() {
    let data: ArrayRef = Arc::new(Float32Array::from(vec![0.0]));
    let error = RawImage::from_hub(&Tags::new(), &data).unwrap_err().to_string();
    assert!(error.contains("an array of UInt8, got Float32"), "{error}");
}

fn detections(bbox: Vec<f64>, conf: Vec<f64>, labels: Vec<&str>) -> ArrayRef {
    let floats = |values: Vec<f64>| -> ArrayRef {
        let row = Some(values.into_iter().map(Some).collect::<Vec<_>>());
        Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>([row]))
    };
    let n = labels.len() as i32;
    let offsets = arrow::buffer::OffsetBuffer::new(vec![0, n].into());
    let field = Arc::new(arrow::datatypes::Field::new("item", DataType::Utf8, true));
    let labels: ArrayRef =
        Arc::new(ListArray::new(field, offsets, Arc::new(StringArray::from(labels)), None));
    crate::build::table(vec![("bbox", floats(bbox)), ("conf", floats(conf)), ("labels", labels)])
        .into_ref()
}

trait IntoRef {
    fn into_ref(self) -> ArrayRef;
}

impl IntoRef for StructArray {
    fn into_ref(self) -> ArrayRef {
        Arc::new(self)
    }
}

#[test]
fn boxes_with_names_and_confidences() {
    let data = detections(
        vec![1.0, 2.0, 3.0, 4.0, 10.0, 10.0, 4.0, 2.0],
        vec![0.5, 0.25],
        vec!["mug", "cup"],
    );
    let corners =
        Boxes2d::from_hub(&tags(&[("format", words("xyxy")), ("frame_id", words("9"))]), &data);
    let corners = corners.unwrap();
    assert_eq!(corners.boxes[0], [1.0, 2.0, 3.0, 4.0]);
    assert_eq!((corners.confidences, corners.labels[1].as_str()), (vec![0.5, 0.25], "cup"));
    assert_eq!(corners.frame_id.as_deref(), Some("9"));
    let centers = Boxes2d::from_hub(&tags(&[("format", words("xywh"))]), &data).unwrap();
    assert_eq!(centers.boxes[1], [8.0, 9.0, 12.0, 11.0]);
}

#[test]
fn bare_coordinates_are_boxes_too() {
    let data: ArrayRef = Arc::new(Float32Array::from(vec![1.0, 2.0, 3.0, 4.0]));
    let found = Boxes2d::from_hub(&Tags::new(), &data).unwrap();
    assert_eq!((found.boxes, found.labels.len()), (vec![[1.0, 2.0, 3.0, 4.0]], 0));
    let none: ArrayRef = Arc::new(Float32Array::from(Vec::<f32>::new()));
    assert_eq!(Boxes2d::from_hub(&Tags::new(), &none).unwrap().boxes.len(), 0);
}

#[test]
fn boxes_that_contradict_themselves_are_refused() {
    let data = detections(vec![1.0, 2.0, 3.0, 4.0], vec![0.5, 0.25], vec!["mug"]);
    let error = Boxes2d::from_hub(&Tags::new(), &data).unwrap_err().to_string();
    assert!(error.contains("got 4, 2 and 1"), "{error}");
    let nested: ArrayRef =
        Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1)])]));
    assert!(Boxes2d::from_hub(&Tags::new(), &nested).is_err());
}

#[test]
fn a_tick_names_the_frame() {
    assert_eq!(frame_id(&tick(41).0), Some("41"));
    assert_eq!(
        texts(&(Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef)).unwrap(),
        ["a", "b"]
    );
}

#[test]
fn boxes_that_are_sent_are_read_as_a_detectors() {
    let sent = Boxes2d {
        boxes: vec![[1.0, 2.0, 30.5, 40.0], [5.0, 6.0, 7.0, 8.0]],
        confidences: vec![0.5, 0.25],
        labels: vec!["cup".into(), String::new()],
        frame_id: Some("7".into()),
    };
    let (tags, data) = sent.to_hub();
    assert_eq!(tags["format"], Tag::Text("xyxy".into()));
    assert_eq!(tags["encoding"], Tag::Text("xyxy".into()));
    assert_eq!(Boxes2d::from_hub(&tags, &data).unwrap(), sent);
    let none = Boxes2d { boxes: vec![], confidences: vec![], labels: vec![], frame_id: None };
    let (tags, data) = none.to_hub();
    assert_eq!(Boxes2d::from_hub(&tags, &data).unwrap(), none);
    assert_eq!(data.len(), 1);
}

#[test]
fn masks_that_are_sent_are_read_as_whole_frames() {
    let one = vec![true, false, false, true, true, false];
    let sent =
        Masks { width: 3, height: 2, masks: vec![one, vec![false; 6]], frame_id: Some("7".into()) };
    let (tags, data) = sent.to_hub();
    assert_eq!((data.len(), &tags["primitive"]), (12, &words("masks")));
    assert_eq!(Masks::from_hub(&tags, &data).unwrap(), sent);
    let none = Masks { masks: vec![], ..sent };
    let (tags, data) = none.to_hub();
    assert_eq!(Masks::from_hub(&tags, &data).unwrap(), none);
    let cut: ArrayRef = Arc::new(arrow::array::BooleanArray::from(vec![true; 7]));
    let error = Masks::from_hub(&tags, &cut).unwrap_err().to_string();
    assert!(error.contains("7 pixels are no frames of 3 x 2"), "{error}");
    let bytes: ArrayRef = Arc::new(UInt8Array::from(vec![1; 6]));
    assert!(Masks::from_hub(&tags, &bytes).unwrap_err().to_string().contains("got UInt8"));
}
