//! A Video4Linux device.

use std::path::Path;

use crate::source::Source;

/// Opens a device, if this build can.
#[cfg(not(feature = "v4l"))]
pub(crate) fn open(path: &Path) -> eyre::Result<Box<dyn Source>> {
    eyre::bail!("camera source {path:?} is a device: build with `--features vrft-camera-node/v4l`")
}

#[cfg(feature = "v4l")]
pub(crate) fn open(path: &Path) -> eyre::Result<Box<dyn Source>> {
    Ok(Box::new(v4l2::Device::open(path)?))
}

#[cfg(feature = "v4l")]
mod v4l2 {
    use std::path::Path;

    use eyre::{WrapErr, bail};
    use v4l::buffer::Type;
    use v4l::io::mmap::Stream;
    use v4l::io::traits::CaptureStream;
    use v4l::video::Capture;

    use crate::source::{Picture, Source};

    /// Buffers that the driver fills in turn; few, so that a frame is never old.
    const N_BUFFERS: u32 = 2;

    /// A device that sends frames.
    pub(super) struct Device {
        stream: Stream<'static>,
        encoding: &'static str,
        width: u32,
        height: u32,
    }

    impl Device {
        pub(super) fn open(path: &Path) -> eyre::Result<Self> {
            let context = || format!("camera source {path:?} is no video device that can be read");
            let device = v4l::Device::with_path(path).wrap_err_with(context)?;
            let format = device.format().wrap_err_with(context)?;
            let encoding = match &format.fourcc.repr {
                b"MJPG" | b"JPEG" => "jpeg",
                b"YUYV" => "yuyv",
                b"YU12" => "yuv420",
                b"NV12" => "nv12",
                b"RGB3" => "rgb8",
                b"BGR3" => "bgr8",
                other => bail!("{path:?} sends {:?}", String::from_utf8_lossy(other)),
            };
            let stream = Stream::with_buffers(&device, Type::VideoCapture, N_BUFFERS)
                .wrap_err_with(context)?;
            Ok(Self { stream, encoding, width: format.width, height: format.height })
        }
    }

    impl Source for Device {
        fn next(&mut self) -> eyre::Result<Option<Picture>> {
            let (buffer, about) = self.stream.next()?;
            let bytes = buffer[..about.bytesused as usize].to_vec();
            let encoding = self.encoding.to_owned();
            Ok(Some(Picture { bytes, encoding, width: self.width, height: self.height }))
        }
    }
}
