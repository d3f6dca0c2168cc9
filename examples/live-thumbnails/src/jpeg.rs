//! Cuts JPEG images out of a stream of them, by their markers (ITU-T T.81, annex B).

use anyhow::{Result, bail};

/// The largest image that is taken, in bytes; one of 1280 × 5120 pixels has about two million.
pub(crate) const LIMIT: usize = 8 * 1024 * 1024;

const START: u8 = 0xd8;
const END: u8 = 0xd9;
const SCAN: u8 = 0xda;

/// Collects bytes and gives back the images that are complete.
#[derive(Default)]
pub(crate) struct Cutter {
    bytes: Vec<u8>,
    /// What is to be looked at next.
    at: usize,
    /// Whether that is coded data, which goes on until a marker.
    in_scan: bool,
}

impl Cutter {
    /// Takes more of the stream and returns the images that it completes.
    ///
    /// # Errors
    /// When the stream is not made of JPEG images, or one of them is over the limit.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.bytes.extend_from_slice(bytes);
        let mut images = Vec::new();
        while self.walk()? {
            let rest = self.bytes.split_off(self.at);
            images.push(std::mem::replace(&mut self.bytes, rest));
            (self.at, self.in_scan) = (0, false);
        }
        if self.bytes.len() > LIMIT {
            bail!("an image of more than {LIMIT} bytes");
        }
        Ok(images)
    }

    /// Whether an image has begun and is not complete.
    pub(crate) fn is_inside_image(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Walks on over what is there; whether an image ends at `at`.
    fn walk(&mut self) -> Result<bool> {
        loop {
            if self.in_scan {
                let Some(marker) = self.bytes[self.at..].iter().position(|byte| *byte == 0xff) else {
                    self.at = self.bytes.len();
                    return Ok(false);
                };
                self.at += marker;
            }
            let Some(&[prefix, kind]) = self.bytes[self.at..].first_chunk::<2>() else { return Ok(false) };
            if prefix != 0xff || (self.at == 0 && kind != START) {
                bail!("no jpeg image: {prefix:02x}{kind:02x} where a marker is to be");
            }
            match kind {
                END => {
                    self.at += 2;
                    return Ok(true);
                }
                // Fill, which may come before any marker.
                0xff => self.at += 1,
                // In coded data: a stuffed byte, and restarts.
                0 | 0xd0..=0xd7 if self.in_scan => self.at += 2,
                START | 0x01 => self.at += 2,
                _ => {
                    let Some(&[_, _, high, low]) = self.bytes[self.at..].first_chunk::<4>() else { return Ok(false) };
                    let end = self.at + 2 + usize::from(u16::from_be_bytes([high, low]));
                    if end > self.bytes.len() {
                        return Ok(false);
                    }
                    self.at = end;
                    self.in_scan = kind == SCAN;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(kind: u8, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(data.len() + 2).unwrap().to_be_bytes();
        [&[0xff, kind], &length[..], data].concat()
    }

    /// An image that has ends and beginnings inside its segments, and all that may stand in coded data.
    fn image(fill: u8, size: usize) -> Vec<u8> {
        let tricky = [0xff, END, 0xff, START, 0xff, SCAN];
        let mut coded = vec![fill; size];
        coded.extend([0xff, 0, 0xd9, 0xff, 0xd3, 1, 0xff, 0xff]);
        let head = [vec![0xff, START], segment(0xe0, &tricky), segment(0xdb, &tricky), segment(SCAN, &[1, 2, 3])];
        [head.concat(), coded, segment(0xc4, &tricky), segment(SCAN, &[9]), vec![7; 9], vec![0xff, END]].concat()
    }

    #[test]
    fn images_are_whole_wherever_the_stream_is_split() {
        let all = [image(1, 0), image(2, 700), image(3, 70_000)];
        let stream = all.concat();
        for length in (1..40).chain([1_000, 65_536, 1 << 20]) {
            let mut cutter = Cutter::default();
            let images: Vec<_> = stream.chunks(length).flat_map(|piece| cutter.push(piece).unwrap()).collect();
            assert!(images == all, "split by {length}");
            assert!(!cutter.is_inside_image());
        }
    }

    #[test]
    fn a_stream_that_ends_inside_an_image_says_so() {
        let mut cutter = Cutter::default();
        let image = image(1, 100);
        assert!(cutter.push(&image[..image.len() - 1]).unwrap().is_empty());
        assert!(cutter.is_inside_image());
    }

    #[test]
    fn what_is_no_image_is_refused() {
        for bytes in [&b"PNG and so on"[..], &[0xff, END], &[0xff, START, 0, 0]] {
            assert!(Cutter::default().push(bytes).is_err(), "{bytes:02x?}");
        }
    }

    #[test]
    fn an_image_without_an_end_is_not_collected_for_ever() {
        let mut cutter = Cutter::default();
        cutter.push(&[&[0xff, START][..], &segment(SCAN, &[1])].concat()).unwrap();
        let refused = (0..LIMIT / 1024 + 1).find_map(|_| cutter.push(&[1; 1024]).err());
        assert!(refused.unwrap().to_string().contains("more than"));
    }
}
