//! Small pictures of pictures. Only files that were not encrypted by their sender can have one; clients make theirs themselves.

use std::io::Cursor;
use std::num::NonZeroU32;

use image::{DynamicImage, ImageFormat, ImageReader, Limits, imageops::FilterType};

/// Bytes of a picture that a thumbnail is made of.
pub const SOURCE_BYTES_MAX: u64 = 20 * 1024 * 1024;

/// Memory for one decoded picture: 40 megapixels of 4 bytes. Small files can claim to be huge.
const DECODED_BYTES_MAX: u64 = 160 * 1024 * 1024;

/// Pixels along one side of a picture.
const SOURCE_SIDE_MAX: u32 = 20_000;

/// Pixels along one side of a thumbnail; more is never needed for one.
pub const SIDE_MAX: u32 = 1_024;

/// How a picture is made to fit
/// ([spec v1.19, Client-Server API § Thumbnails](https://spec.matrix.org/v1.19/client-server-api/#thumbnails)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// The whole picture, within the size asked for.
    Scale,
    /// The middle of the picture, of the size asked for.
    Crop,
}

/// A thumbnail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What they are.
    pub content_type: &'static str,
}

/// No thumbnail can be made: not a picture that is known, damaged, or too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no thumbnail can be made of this file")]
pub struct NoThumbnail;

/// Makes a thumbnail of at most `width` × `height` pixels: a still one, never larger than the picture. Takes long: not for a
/// thread that others wait for.
///
/// # Errors
/// [`NoThumbnail`].
pub fn make(source: &[u8], width: NonZeroU32, height: NonZeroU32, fit: Fit) -> Result<Thumbnail, NoThumbnail> {
    let mut reader = ImageReader::new(Cursor::new(source)).with_guessed_format().map_err(|_| NoThumbnail)?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODED_BYTES_MAX);
    limits.max_image_width = Some(SOURCE_SIDE_MAX);
    limits.max_image_height = Some(SOURCE_SIDE_MAX);
    reader.limits(limits);
    let is_photo = reader.format() == Some(ImageFormat::Jpeg);
    let picture = reader.decode().map_err(|_| NoThumbnail)?;

    let (width, height) = (width.get().min(SIDE_MAX), height.get().min(SIDE_MAX));
    let small = match fit {
        _ if picture.width() <= width && picture.height() <= height => picture,
        Fit::Scale => picture.resize(width, height, FilterType::Triangle),
        Fit::Crop => picture.resize_to_fill(width.min(picture.width()), height.min(picture.height()), FilterType::Triangle),
    };
    let (format, content_type, small) = if is_photo {
        (ImageFormat::Jpeg, "image/jpeg", DynamicImage::ImageRgb8(small.into_rgb8()))
    } else {
        (ImageFormat::Png, "image/png", small)
    };
    let mut bytes = Vec::new();
    small.write_to(&mut Cursor::new(&mut bytes), format).map_err(|_| NoThumbnail)?;
    Ok(Thumbnail { bytes, content_type })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Vec::new();
        let image = image::RgbImage::from_fn(width, height, |x, y| image::Rgb([(x % 256) as u8, (y % 256) as u8, 90]));
        image.write_to(&mut Cursor::new(&mut bytes), format).expect("encodes");
        bytes
    }

    fn size_of(source: &[u8], width: u32, height: u32, fit: Fit) -> (u32, u32, &'static str) {
        let side = |pixels| NonZeroU32::new(pixels).expect("not zero");
        let thumbnail = make(source, side(width), side(height), fit).expect("a thumbnail");
        let image = image::load_from_memory(&thumbnail.bytes).expect("decodes");
        (image.width(), image.height(), thumbnail.content_type)
    }

    #[test]
    fn sizes_are_as_the_specification_says() {
        let png = picture(400, 200, ImageFormat::Png);
        assert_eq!(size_of(&png, 100, 100, Fit::Scale), (100, 50, "image/png"));
        assert_eq!(size_of(&png, 100, 100, Fit::Crop), (100, 100, "image/png"));
        assert_eq!(size_of(&png, 800, 600, Fit::Scale), (400, 200, "image/png"), "never enlarged");
        assert_eq!(size_of(&picture(400, 200, ImageFormat::Jpeg), 32, 32, Fit::Crop), (32, 32, "image/jpeg"));
    }

    #[test]
    fn what_is_no_picture_has_no_thumbnail() {
        let side = NonZeroU32::new(32).expect("not zero");
        for source in [&b""[..], b"text", b"\x89PNG\r\n\x1a\n damaged", &picture(64, 64, ImageFormat::Png)[..100]] {
            assert_eq!(make(source, side, side, Fit::Scale), Err(NoThumbnail));
        }
    }
}
