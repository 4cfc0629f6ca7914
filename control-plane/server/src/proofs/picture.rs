//! A picture that somebody sent, made into one of ours: right side up, of a bounded size, and with nothing in it but
//! pixels. Where and when it was taken, and by which telephone, stays behind.

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, Rgb, RgbImage, codecs::jpeg::JpegEncoder,
    metadata::Orientation,
};

/// Pixels of a picture: what the cameras of good telephones make. Looked at before anything is unpacked.
const PIXELS_MAX: u64 = 40_000_000;
/// Bytes of a picture unpacked: four a pixel. Of those with sixteen bits a colour, half as many pixels.
pub(super) const UNPACKED_MAX: u64 = 160 * 1024 * 1024;
/// What a decoder may take in all, with what it holds beside the pixels: profiles, a progressive picture's coefficients.
const DECODER_MAX: u64 = 3 * UNPACKED_MAX;
/// Of a progressive JPEG all coefficients are held until its last pass: two bytes for each of three colours, beside the pixel.
const PROGRESSIVE_PIXEL_BYTES: u64 = 9;
/// The longer side of what is kept: a house number and a label can be read, and nobody waits for it on a bad line.
const SIDE_MAX: u32 = 2_560;
/// Of the JPEG that is kept.
const QUALITY: u8 = 82;

/// What a picture is kept as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// JPEG.
    Photo,
    /// PNG: lines stay sharp.
    Signature,
}

/// Why a picture is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// By its first bytes it is none of those we read.
    #[error("is no JPEG, PNG or WebP by its content")]
    Kind,
    /// It is cut off, damaged, or made to do harm.
    #[error("cannot be decoded: it is broken, or larger inside than it says")]
    Broken,
    /// It is too large to be looked at.
    #[error("has {width} x {height} pixels, more than {} million or too many bytes for each; send a smaller one", PIXELS_MAX / 1_000_000)]
    Large {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },
}

/// What is known of a picture before it is unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Measured {
    format: ImageFormat,
    /// Bytes that it will take while it is unpacked.
    pub(super) room: u64,
}

/// A picture of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) bytes: Vec<u8>,
    pub(super) media_type: &'static str,
}

/// Reads the head of a picture, and refuses what is none or too large.
pub(super) fn measure(bytes: &[u8]) -> Result<Measured, Refused> {
    let format = image::guess_format(bytes).map_err(|_| Refused::Kind)?;
    if !matches!(format, ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP) {
        return Err(Refused::Kind);
    }
    let decoder = decoder(bytes, format)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 {
        return Err(Refused::Broken);
    }
    let unpacked = decoder.total_bytes();
    if pixels > PIXELS_MAX || unpacked > UNPACKED_MAX {
        return Err(Refused::Large { width, height });
    }
    let progressive = format == ImageFormat::Jpeg && is_progressive(bytes);
    let room = if progressive { pixels * PROGRESSIVE_PIXEL_BYTES } else { unpacked };
    Ok(Measured { format, room })
}

/// Unpacks a picture that was measured, and makes ours of it.
pub(super) fn remade(bytes: &[u8], measured: Measured, purpose: Purpose) -> Result<Picture, Refused> {
    let mut decoder = decoder(bytes, measured.format)?;
    // Unreadable notes about the camera are no reason to refuse the picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|_| Refused::Broken)?;
    if picture.width().max(picture.height()) > SIDE_MAX {
        picture = picture.thumbnail(SIDE_MAX, SIDE_MAX);
    }
    picture.apply_orientation(orientation);
    let mut kept = Cursor::new(Vec::new());
    let (encoded, media_type) = match purpose {
        Purpose::Photo => {
            (JpegEncoder::new_with_quality(&mut kept, QUALITY).encode_image(&on_white(&picture)), "image/jpeg")
        }
        Purpose::Signature => (on_white(&picture).write_to(&mut kept, ImageFormat::Png), "image/png"),
    };
    encoded.map_err(|_| Refused::Broken)?;
    Ok(Picture { bytes: kept.into_inner(), media_type })
}

fn decoder(bytes: &[u8], format: ImageFormat) -> Result<impl ImageDecoder + '_, Refused> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(DECODER_MAX);
    reader.limits(limits);
    reader.into_decoder().map_err(|_| Refused::Broken)
}

/// Whether the frame of a JPEG says that it comes in several passes.
fn is_progressive(jpeg: &[u8]) -> bool {
    let mut at = 2;
    while let Some([0xff, marker, high, low]) = jpeg.get(at..at + 4) {
        match marker {
            // Frames, of which these come in passes.
            0xc2 | 0xc6 | 0xca | 0xce => return true,
            // Tables that are numbered like frames.
            0xc4 | 0xc8 | 0xcc => {}
            0xc0..=0xcf | 0xda => return false,
            // Padding.
            0xff => {
                at += 1;
                continue;
            }
            _ => {}
        }
        at += 2 + usize::from(u16::from_be_bytes([*high, *low]));
    }
    // What cannot be told is taken for the worse.
    true
}

/// As on paper: where a picture is transparent, it is white.
fn on_white(picture: &DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.to_rgb8();
    }
    let transparent = picture.to_rgba8();
    RgbImage::from_fn(transparent.width(), transparent.height(), |x, y| {
        let [r, g, b, alpha] = transparent.get_pixel(x, y).0;
        let over = |colour: u8| {
            let alpha = u32::from(alpha);
            ((u32::from(colour) * alpha + 255 * (255 - alpha)) / 255) as u8
        };
        Rgb([over(r), over(g), over(b)])
    })
}

#[cfg(test)]
mod tests {
    use image::{ExtendedColorType, ImageEncoder, RgbaImage, codecs::png::PngEncoder};
    use proptest::prelude::*;

    use super::*;

    /// Left half red, right half blue, twice as wide as high.
    fn two_halves() -> RgbImage {
        RgbImage::from_fn(64, 32, |x, _| if x < 32 { Rgb([250, 0, 0]) } else { Rgb([0, 0, 250]) })
    }

    fn encoded(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn taken(bytes: &[u8], purpose: Purpose) -> Result<Picture, Refused> {
        remade(bytes, measure(bytes)?, purpose)
    }

    /// EXIF that says: turn it a quarter to the right; and where it was taken.
    fn exif() -> Vec<u8> {
        let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x02".to_vec();
        exif.extend(b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0");
        exif.extend(b"\x88\x25\0\x04\0\0\0\x01\0\0\0\x26\0\0\0\0");
        exif.extend(b"\0\x01\0\x01\0\x02\0\0\0\x02N\0\0\0\0\0\0\0");
        exif.extend(b"CANARY-43.6503");
        exif
    }

    fn with_exif(jpeg: &[u8]) -> Vec<u8> {
        let exif = exif();
        let length = (exif.len() as u16 + 2).to_be_bytes();
        [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
    }

    #[test]
    fn every_kind_that_is_read_becomes_one_of_ours() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
            let photo = taken(&encoded(&two_halves(), format), Purpose::Photo).unwrap();
            assert_eq!(
                (photo.media_type, image::guess_format(&photo.bytes).unwrap()),
                ("image/jpeg", ImageFormat::Jpeg)
            );
            let signature = taken(&encoded(&two_halves(), format), Purpose::Signature).unwrap();
            assert_eq!(image::guess_format(&signature.bytes).unwrap(), ImageFormat::Png);
        }
    }

    #[test]
    fn a_picture_is_turned_as_its_camera_says_and_where_it_was_taken_stays_behind() {
        let sent = with_exif(&encoded(&two_halves(), ImageFormat::Jpeg));
        assert!(sent.windows(6).any(|window| window == b"CANARY"));
        let kept = taken(&sent, Purpose::Photo).unwrap().bytes;
        assert!(!kept.windows(6).any(|window| window == b"CANARY"));
        assert!(!kept.windows(4).any(|window| window == b"Exif"));
        let picture = image::load_from_memory(&kept).unwrap().to_rgb8();
        assert_eq!(picture.dimensions(), (32, 64), "it stands");
        let (top, bottom) = (picture.get_pixel(16, 8).0, picture.get_pixel(16, 56).0);
        assert!(top[0] > 200 && bottom[2] > 200, "the left half is above: {top:?} {bottom:?}");
    }

    #[test]
    fn what_is_no_picture_of_those_is_refused_by_its_content() {
        for other in
            [&b"GIF89a\x01\0\x01\0\0\0\0;"[..], b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7", b"", b"BM"]
        {
            assert_eq!(taken(other, Purpose::Photo), Err(Refused::Kind), "{other:?}");
        }
    }

    #[test]
    fn a_broken_picture_is_refused() {
        for format in [ImageFormat::Png, ImageFormat::WebP] {
            let whole = encoded(&two_halves(), format);
            for cut in [16, whole.len() / 2, whole.len() - 8] {
                assert!(taken(&whole[..cut], Purpose::Photo).is_err(), "{format:?} {cut}");
            }
        }
        assert_eq!(taken(b"\xff\xd8\xff\xe0\0\x10JFIF", Purpose::Photo), Err(Refused::Broken));
    }

    /// A PNG whose head says that size; the rest is missing.
    fn head(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        PngEncoder::new(&mut bytes).write_image(&[0], 1, 1, ExtendedColorType::L8).unwrap();
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        let sum = crc(&bytes[12..29]).to_be_bytes();
        bytes[29..33].copy_from_slice(&sum);
        bytes
    }

    fn crc(bytes: &[u8]) -> u32 {
        let step =
            |sum: u32, byte: &u8| (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 * (sum & 1)));
        !bytes.iter().fold(!0, step)
    }

    #[test]
    fn more_than_forty_megapixels_are_refused_by_the_head_alone() {
        assert_eq!(measure(&head(8_000, 5_001)), Err(Refused::Large { width: 8_000, height: 5_001 }));
        let all = u32::try_from(i32::MAX).unwrap();
        assert!(measure(&head(all, all)).is_err());
        assert_eq!(measure(&head(8_000, 5_000)).map(|measured| measured.room), Ok(40_000_000));
    }

    #[test]
    fn a_picture_in_passes_is_told_by_its_frame() {
        let plain = with_exif(&encoded(&two_halves(), ImageFormat::Jpeg));
        assert!(!is_progressive(&plain));
        let frame = plain.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
        let mut in_passes = plain.clone();
        in_passes[frame + 1] = 0xc2;
        assert!(is_progressive(&in_passes));
        assert!(is_progressive(&plain[..20]), "cut off");
        assert_eq!(measure(&plain).unwrap().room, 64 * 32 * 3);
    }

    #[test]
    fn what_is_kept_is_of_a_bounded_size() {
        let large = RgbImage::from_pixel(SIDE_MAX * 2, 10, Rgb([1, 2, 3]));
        let kept = taken(&encoded(&large, ImageFormat::Png), Purpose::Photo).unwrap().bytes;
        assert_eq!(image::load_from_memory(&kept).unwrap().width(), SIDE_MAX);
    }

    #[test]
    fn where_a_signature_is_transparent_it_is_white() {
        let mut drawn = RgbaImage::new(8, 8);
        drawn.put_pixel(3, 3, image::Rgba([0, 0, 0, 255]));
        let mut bytes = Cursor::new(Vec::new());
        drawn.write_to(&mut bytes, ImageFormat::Png).unwrap();
        let kept = taken(&bytes.into_inner(), Purpose::Signature).unwrap().bytes;
        let kept = image::load_from_memory(&kept).unwrap().to_rgb8();
        assert_eq!((kept.get_pixel(0, 0).0, kept.get_pixel(3, 3).0), ([255; 3], [0; 3]));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            format in prop::sample::select(vec![ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP]),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        ) {
            let mut bytes = with_exif(&encoded(&two_halves(), ImageFormat::Jpeg));
            if format != ImageFormat::Jpeg {
                bytes = encoded(&two_halves(), format);
            }
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let _ = taken(&bytes, Purpose::Photo);
        }
    }
}
