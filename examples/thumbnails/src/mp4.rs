//! Tells from the first bytes of a file whether it can be decoded while it arrives.
//!
//! An MP4 file is a sequence of boxes: a size, a type of four letters, the content. `moov` holds the index without which
//! `mdat`, the media, cannot be read. Encoders know the index last, so most files end with it; those made for
//! streaming have it in front, and fragmented ones have an empty `moov` in front of many small pairs of both.
//! The format is in ISO/IEC 14496-12, section 4.2.

/// What the order of a file's parts allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Decodable from a pipe: not MP4 at all, or its index comes first.
    Streamable,
    /// Decodable only once all of it is there.
    IndexAtEnd,
}

/// What MP4 and its ancestor QuickTime, which knew no `ftyp`, begin with.
const FIRST: [&[u8; 4]; 8] = [b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"];

/// Walks the outer boxes of a file as its bytes arrive.
#[derive(Default)]
pub(crate) struct Sniffer {
    /// What has arrived of a box's header: 8 bytes, or 16 with a long size.
    header: Vec<u8>,
    /// Bytes of content until the next header.
    skip: u64,
    inside: bool,
}

impl Sniffer {
    /// Takes the next bytes; the answer as soon as they hold it.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Option<Layout> {
        loop {
            let skipped = usize::try_from(self.skip).map_or(bytes.len(), |skip| skip.min(bytes.len()));
            bytes = &bytes[skipped..];
            self.skip -= skipped as u64;
            if self.skip > 0 {
                return None;
            }

            let [size @ .., a, b, c, d] = self.header::<8>(&mut bytes, 0)?;
            let kind = [a, b, c, d];
            if !self.inside && !FIRST.contains(&&kind) {
                return Some(Layout::Streamable);
            }
            self.inside = true;
            match &kind {
                b"moov" => return Some(Layout::Streamable),
                b"mdat" => return Some(Layout::IndexAtEnd),
                _ => {}
            }
            let (content, header) = match u32::from_be_bytes(size) {
                // It reaches to the end of the file: nothing comes after it, the index neither.
                0 => return Some(Layout::Streamable),
                1 => (u64::from_be_bytes(self.header(&mut bytes, 8)?), 16),
                size => (u64::from(size), 8),
            };
            match content.checked_sub(header) {
                Some(content) => self.skip = content,
                // Smaller than its own header. ffmpeg will find better words for it.
                None => return Some(Layout::Streamable),
            }
            self.header.clear();
        }
    }

    /// `N` bytes of the header at `from`, taken from `bytes` as far as they are missing.
    fn header<const N: usize>(&mut self, bytes: &mut &[u8], from: usize) -> Option<[u8; N]> {
        let missing = (from + N).saturating_sub(self.header.len()).min(bytes.len());
        let (taken, rest) = bytes.split_at(missing);
        self.header.extend_from_slice(taken);
        *bytes = rest;
        self.header.get(from..from + N)?.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Layout::{IndexAtEnd, Streamable};
    use super::*;

    fn boxed(kind: &[u8; 4], content: usize) -> Vec<u8> {
        let mut bytes = u32::try_from(content + 8).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(kind);
        bytes.resize(content + 8, 0xab);
        bytes
    }

    fn long(kind: &[u8; 4], size: u64, content: usize) -> Vec<u8> {
        let mut bytes = 1_u32.to_be_bytes().to_vec();
        bytes.extend_from_slice(kind);
        bytes.extend_from_slice(&size.to_be_bytes());
        bytes.resize(content + 16, 0xab);
        bytes
    }

    /// The answer, which must not depend on how the bytes are split.
    fn layout(file: &[u8]) -> Option<Layout> {
        let whole = Sniffer::default().feed(file);
        for length in 1..20 {
            let mut sniffer = Sniffer::default();
            assert_eq!(file.chunks(length).find_map(|piece| sniffer.feed(piece)), whole, "in pieces of {length}");
        }
        whole
    }

    #[test]
    fn the_first_of_index_and_media_decides() {
        let (ftyp, free) = (boxed(b"ftyp", 24), boxed(b"free", 1_000));
        assert_eq!(layout(&[&ftyp[..], &free, &boxed(b"mdat", 90), &boxed(b"moov", 9)].concat()), Some(IndexAtEnd));
        assert_eq!(layout(&[&ftyp[..], &free, &boxed(b"moov", 9), &boxed(b"mdat", 90)].concat()), Some(Streamable));
        let fragmented = [ftyp, boxed(b"moov", 50), boxed(b"moof", 9), boxed(b"mdat", 90)].concat();
        assert_eq!(layout(&fragmented), Some(Streamable));
    }

    #[test]
    fn the_type_is_enough_the_content_is_not_waited_for() {
        let file = [boxed(b"ftyp", 24), boxed(b"mdat", 1_000)].concat();
        assert_eq!(layout(&file[..32 + 7]), None);
        assert_eq!(layout(&file[..32 + 8]), Some(IndexAtEnd));
    }

    #[test]
    fn long_sizes_are_read() {
        let ftyp = boxed(b"ftyp", 24);
        let free = long(b"free", 16 + 500, 500);
        assert_eq!(layout(&[&ftyp[..], &free, &boxed(b"mdat", 90)].concat()), Some(IndexAtEnd));
        assert_eq!(layout(&[&ftyp[..], &long(b"mdat", 5 << 32, 100)].concat()), Some(IndexAtEnd));
        assert_eq!(layout(&[&ftyp[..], &long(b"free", u64::MAX, 100)].concat()), None);
    }

    #[test]
    fn a_size_of_zero_reaches_to_the_end_of_the_file() {
        let mut media = boxed(b"mdat", 90);
        media[..4].fill(0);
        assert_eq!(layout(&[boxed(b"ftyp", 24), media].concat()), Some(IndexAtEnd));
        let mut free = boxed(b"free", 90);
        free[..4].fill(0);
        assert_eq!(layout(&[boxed(b"ftyp", 24), free].concat()), Some(Streamable));
    }

    #[test]
    fn impossible_sizes_end_the_walk() {
        let ftyp = boxed(b"ftyp", 24);
        assert_eq!(layout(&[&ftyp[..], b"\0\0\0\x07free", &[0; 40]].concat()), Some(Streamable));
        assert_eq!(layout(&[&ftyp[..], &long(b"free", 15, 40)].concat()), Some(Streamable));
    }

    #[test]
    fn quicktime_files_need_no_ftyp() {
        assert_eq!(layout(&[boxed(b"wide", 0), boxed(b"mdat", 90), boxed(b"moov", 9)].concat()), Some(IndexAtEnd));
        assert_eq!(layout(&[boxed(b"moov", 9), boxed(b"mdat", 90)].concat()), Some(Streamable));
    }

    #[test]
    fn other_files_are_streamable() {
        assert_eq!(layout(b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\x01\x42\xf7"), Some(Streamable));
        assert_eq!(layout(&[0x47; 400]), Some(Streamable));
        assert_eq!(layout(b"this is no video at all"), Some(Streamable));
        assert_eq!(layout(b"short"), None);
        assert_eq!(layout(b""), None);
    }
}
