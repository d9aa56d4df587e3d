//! Pictures that were decoded before: rows about the same picture, as one for each category, come again and again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use vrft_dataset::Picture;
use vrft_vision::Pixels;

/// Bytes of pixels that are kept for rows to come.
const MAX_BYTES: usize = 64 << 20;

/// What is known of the pictures so far. A picture is decoded to its end once; that it can be is remembered for good, and
/// its pixels, which only mirror images need, as long as there is room.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// By the place of the picture in memory, which its data set keeps it at.
    known: HashMap<*const Picture, Result<(), String>>,
    /// The newest pixels, the oldest of them first.
    recent: VecDeque<(*const Picture, Arc<Pixels>)>,
    n_bytes: usize,
    /// The newest frames of videos as files, since each takes a pass over its video.
    frames: VecDeque<(*const Picture, Vec<u8>)>,
    n_frame_bytes: usize,
}

/// Bytes of frames that are kept for rows to come.
const MAX_FRAME_BYTES: usize = 256 << 20;

impl Seen {
    /// The encoded bytes of a picture that can be decoded.
    ///
    /// # Errors
    /// A picture that cannot be read, or decoded to its end.
    pub(crate) fn sound(&mut self, picture: &Arc<Picture>) -> Result<Vec<u8>, String> {
        if picture.is_frame() {
            return self.frame(picture);
        }
        let bytes = || picture.bytes().map_err(|error| error.to_string());
        match self.known.get(&Arc::as_ptr(picture)) {
            Some(Ok(())) => bytes(),
            Some(Err(why)) => Err(why.clone()),
            None => {
                let bytes = bytes()?;
                let decoded = vrft_vision::decode(&bytes).map(drop);
                let decoded = decoded.map_err(|error| picture.named(&error));
                self.known.insert(Arc::as_ptr(picture), decoded.clone());
                decoded.map(|()| bytes)
            }
        }
    }

    /// A frame of a video, which was decoded when it became a file.
    fn frame(&mut self, picture: &Arc<Picture>) -> Result<Vec<u8>, String> {
        let key = Arc::as_ptr(picture);
        if let Some((_, bytes)) = self.frames.iter().find(|(known, _)| *known == key) {
            return Ok(bytes.clone());
        }
        let bytes = picture.bytes().map_err(|error| error.to_string())?;
        self.n_frame_bytes += bytes.len();
        self.frames.push_back((key, bytes.clone()));
        while self.n_frame_bytes > MAX_FRAME_BYTES
            && let Some((_, oldest)) = self.frames.pop_front()
        {
            self.n_frame_bytes -= oldest.len();
        }
        Ok(bytes)
    }

    /// The pixels of a picture.
    ///
    /// # Errors
    /// As [`Seen::sound`].
    pub(crate) fn pixels(&mut self, picture: &Arc<Picture>) -> Result<Pixels, String> {
        let key = Arc::as_ptr(picture);
        if let Some((_, pixels)) = self.recent.iter().find(|(known, _)| *known == key) {
            return Ok(Pixels::clone(pixels));
        }
        if let Some(Err(why)) = self.known.get(&key) {
            return Err(why.clone());
        }
        let pixels = picture.decode().map_err(|error| error.to_string());
        self.known.insert(key, pixels.as_ref().map(|_| ()).map_err(Clone::clone));
        let pixels = pixels?;
        self.keep(key, &pixels);
        Ok(pixels)
    }

    fn keep(&mut self, key: *const Picture, pixels: &Pixels) {
        if pixels.rgb.len() > MAX_BYTES {
            return;
        }
        self.n_bytes += pixels.rgb.len();
        self.recent.push_back((key, Arc::new(pixels.clone())));
        while self.n_bytes > MAX_BYTES
            && let Some((_, oldest)) = self.recent.pop_front()
        {
            self.n_bytes -= oldest.rgb.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A gray picture of this width in a file of its own.
    fn picture(folder: &tempfile::TempDir, name: &str, width: u32) -> Arc<Picture> {
        let path = folder.path().join(name);
        image::RgbImage::from_pixel(width, 1000, image::Rgb([9; 3])).save(&path).unwrap();
        Arc::new(Picture::open(&path).unwrap())
    }

    #[test]
    fn a_picture_is_decoded_once_and_its_pixels_leave_when_room_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        // 3 bytes a pixel: 24 MB each, of which two have room.
        let pictures: Vec<Arc<Picture>> =
            (0..3).map(|n| picture(&folder, &format!("{n}.bmp"), 8000)).collect();
        let mut seen = Seen::default();
        let pixels = seen.pixels(&pictures[0]).unwrap();
        assert_eq!((pixels.width, pixels.height), (8000, 1000));
        seen.pixels(&pictures[0]).unwrap();
        assert_eq!((seen.recent.len(), seen.n_bytes), (1, 24_000_000));
        pictures[1..].iter().for_each(|picture| drop(seen.pixels(picture).unwrap()));
        assert_eq!((seen.recent.len(), seen.n_bytes), (2, 48_000_000));
        assert!(seen.recent.iter().all(|(key, _)| *key != Arc::as_ptr(&pictures[0])));
        assert_eq!(seen.known.len(), 3);
    }

    /// A file that is replaced by nonsense after it was found sound is not decoded again, which is how it shows.
    #[test]
    fn what_was_found_out_about_a_picture_holds() {
        let folder = tempfile::tempdir().unwrap();
        let sound = picture(&folder, "a.bmp", 4);
        let torn = picture(&folder, "b.bmp", 4);
        let bytes = std::fs::read(folder.path().join("b.bmp")).unwrap();
        std::fs::write(folder.path().join("b.bmp"), &bytes[..bytes.len() / 2]).unwrap();
        let mut seen = Seen::default();
        assert_eq!(seen.sound(&sound).unwrap(), bytes);
        std::fs::write(folder.path().join("a.bmp"), "nonsense").unwrap();
        assert_eq!(seen.sound(&sound).unwrap(), b"nonsense");
        let why = seen.sound(&torn).unwrap_err();
        assert!(why.contains("b.bmp"), "{why}");
        std::fs::write(folder.path().join("b.bmp"), &bytes).unwrap();
        assert_eq!(seen.sound(&torn), Err(why.clone()));
        assert_eq!(seen.pixels(&torn).err(), Some(why));
    }
}
