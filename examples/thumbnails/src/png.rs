//! Cuts PNG images out of a stream of them, by their chunk structure.

use anyhow::{Result, bail};
use flame_actors::MAX_MESSAGE_BYTES;

const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";
/// Length and type before a chunk's data, checksum after it.
const HEADER: usize = 8;
const CRC: usize = 4;

/// The largest image that is taken, in bytes: a message carries it as a whole, and some bytes more around it.
pub(crate) const LIMIT: usize = MAX_MESSAGE_BYTES - 1024;

/// Collects bytes and gives back the images that are complete.
pub(crate) struct Cutter {
    bytes: Vec<u8>,
    /// Start of the chunk that is to be looked at next; 0 is the signature.
    at: usize,
    limit: usize,
}

impl Cutter {
    /// A cutter for images of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), at: 0, limit }
    }

    /// Takes more of the stream and returns the images that it completes.
    ///
    /// # Errors
    /// When the stream is not made of PNG images, or one of them is over the limit.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.bytes.extend_from_slice(bytes);
        let mut images = Vec::new();
        while let Some(end) = self.end_of_image()? {
            let rest = self.bytes.split_off(end);
            images.push(std::mem::replace(&mut self.bytes, rest));
            self.at = 0;
        }
        Ok(images)
    }

    /// Whether an image has begun and is not complete.
    pub(crate) fn is_inside_image(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Walks on over the chunks that are there; the end of the image once its last one is.
    fn end_of_image(&mut self) -> Result<Option<usize>> {
        if self.at == 0 {
            let there = self.bytes.len().min(SIGNATURE.len());
            if self.bytes[..there] != SIGNATURE[..there] {
                bail!("no png image: it begins with {:02x?}", &self.bytes[..there]);
            }
            if there < SIGNATURE.len() {
                return Ok(None);
            }
            self.at = SIGNATURE.len();
        }
        loop {
            let Some((length, kind)) = self.bytes[self.at..].first_chunk::<HEADER>().map(split_header) else {
                return Ok(None);
            };
            if !kind.iter().all(u8::is_ascii_alphabetic) {
                bail!("no png image: a chunk of type {kind:02x?}");
            }
            // Judged before its data arrives: a length of 2 GiB is not waited for.
            let end = self.at.saturating_add(HEADER + CRC).saturating_add(length);
            if end > self.limit {
                bail!("an image of {end} bytes or more, over the limit of {}: try a smaller --size", self.limit);
            }
            if end > self.bytes.len() {
                return Ok(None);
            }
            self.at = end;
            if kind == *b"IEND" {
                return Ok(Some(end));
            }
        }
    }
}

fn split_header(&[a, b, c, d, kind @ ..]: &[u8; HEADER]) -> (usize, [u8; 4]) {
    (u32::from_be_bytes([a, b, c, d]) as usize, kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let mut chunk = u32::try_from(data.len()).unwrap().to_be_bytes().to_vec();
        chunk.extend_from_slice(kind);
        chunk.extend_from_slice(data);
        chunk.extend_from_slice(&[0xc0, 0xff, 0xee, 0x00]);
        chunk
    }

    /// An image whose data holds what a naive search would take for an end or a beginning.
    fn image(fill: u8, size: usize) -> Vec<u8> {
        let mut data = vec![fill; size];
        data.extend_from_slice(b"\0\0\0\0IEND\xaeB`\x82\x89PNG\r\n\x1a\n");
        [SIGNATURE.to_vec(), chunk(b"IHDR", &[0; 13]), chunk(b"IDAT", &data), chunk(b"IEND", &[])].concat()
    }

    /// Pushes a stream in pieces of the given lengths, over and over.
    fn cut(stream: &[u8], lengths: &[usize]) -> Result<(Vec<Vec<u8>>, Cutter)> {
        let mut cutter = Cutter::new(LIMIT);
        let (mut images, mut rest) = (Vec::new(), stream);
        for length in lengths.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*length).min(rest.len()));
            images.extend(cutter.push(piece)?);
            rest = after;
        }
        Ok((images, cutter))
    }

    #[test]
    fn images_are_whole_wherever_the_stream_is_split() {
        let all = [image(1, 0), image(2, 700), image(3, 70_000)];
        let stream = all.concat();
        // A small generator of our own: the same splits at every run.
        let mut seed = 42_u64;
        for round in 0..200 {
            let lengths: Vec<usize> = (0..17)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    1 + (seed >> 33) as usize % if round % 2 == 0 { 11 } else { 9_000 }
                })
                .collect();
            let (images, cutter) = cut(&stream, &lengths).unwrap();
            assert!(images == all, "split by {lengths:?}");
            assert!(!cutter.is_inside_image());
        }
    }

    #[test]
    fn several_images_in_one_piece_are_all_found() {
        let all = [image(1, 10), image(2, 20), image(3, 30)];
        assert!(Cutter::new(LIMIT).push(&all.concat()).unwrap() == all);
    }

    #[test]
    fn a_stream_that_ends_inside_an_image_says_so() {
        let stream = [image(1, 10), image(2, 20)].concat();
        let (images, cutter) = cut(&stream[..stream.len() - 1], &[5]).unwrap();
        assert_eq!(images.len(), 1);
        assert!(cutter.is_inside_image());
    }

    #[test]
    fn garbage_is_refused_at_its_first_byte() {
        assert!(Cutter::new(LIMIT).push(b"G").unwrap_err().to_string().contains("begins with [47]"));
        let between = [image(1, 10), b"\0".to_vec()].concat();
        assert!(cut(&between, &[3]).is_err());
        let inside = [SIGNATURE.to_vec(), chunk(b"I\x01DR", &[0; 13])].concat();
        assert!(cut(&inside, &[1]).err().unwrap().to_string().contains("a chunk of type"));
    }

    #[test]
    fn an_image_over_the_limit_is_refused_before_it_is_there() {
        let mut cutter = Cutter::new(1_000);
        assert_eq!(cutter.push(&image(1, 800)).unwrap().len(), 1);
        let large = image(1, 1_000);
        let err = cutter.push(&large[..50]).unwrap_err().to_string();
        assert!(err.contains("over the limit of 1000"), "{err}");

        let endless = [SIGNATURE.to_vec(), u32::MAX.to_be_bytes().to_vec(), b"IDAT".to_vec()].concat();
        assert!(Cutter::new(LIMIT).push(&endless).is_err());
    }
}
