//! Items as bytes: each is `u32 length · item`, big-endian, and what they make together is cut anywhere.
//!
//! So a large item goes in pieces, between which others have their turn on the link, and small ones share a piece.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::codec::MAX_MESSAGE_BYTES;

/// The greatest piece.
pub(crate) const PIECE_BYTES: usize = 32 * 1024;

const LENGTH: usize = size_of::<u32>();

/// Appends an item.
pub(crate) fn put(bytes: &mut BytesMut, item: &[u8]) {
    bytes.reserve(LENGTH + item.len());
    bytes.put_u32(u32::try_from(item.len()).expect("items are within the limit of a message"));
    bytes.put_slice(item);
}

/// Cuts off the next piece.
pub(crate) fn cut(bytes: &mut BytesMut) -> Bytes {
    bytes.split_to(bytes.len().min(PIECE_BYTES)).freeze()
}

/// Makes items of pieces.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    piece: Bytes,
    /// The beginning of an item whose rest is in pieces to come.
    begun: BytesMut,
}

impl Pieces {
    /// Adds the next piece, once the last one is used up.
    pub(crate) fn add(&mut self, piece: Bytes) {
        debug_assert!(self.piece.is_empty(), "the last piece is used up");
        self.piece = piece;
    }

    /// Gives the next item to `read`, if there is one; otherwise it is time for the next piece.
    ///
    /// # Errors
    /// The length of an item that is longer than items are.
    pub(crate) fn next<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, usize> {
        if self.begun.is_empty()
            && let Some(len) = length(&self.piece)?
            && let Some(item) = self.piece.get(LENGTH..LENGTH + len)
        {
            let read = read(item);
            self.piece.advance(LENGTH + len);
            return Ok(Some(read));
        }
        self.take(LENGTH);
        let Some(len) = length(&self.begun)? else { return Ok(None) };
        self.take(LENGTH + len);
        let Some(item) = self.begun.get(LENGTH..LENGTH + len) else { return Ok(None) };
        let read = read(item);
        self.begun = BytesMut::new();
        Ok(Some(read))
    }

    /// Makes what is begun as long as this, as far as the piece goes.
    fn take(&mut self, len: usize) {
        let wanted = len.saturating_sub(self.begun.len()).min(self.piece.len());
        self.begun.extend_from_slice(&self.piece.split_to(wanted));
    }
}

/// The length of the item that begins here.
fn length(bytes: &[u8]) -> Result<Option<usize>, usize> {
    let Some(len) = bytes.first_chunk::<LENGTH>() else { return Ok(None) };
    let len = u32::from_be_bytes(*len) as usize;
    if len > MAX_MESSAGE_BYTES { Err(len) } else { Ok(Some(len)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn items(pieces: impl IntoIterator<Item = Bytes>) -> Result<Vec<Vec<u8>>, usize> {
        let (mut reader, mut items) = (Pieces::default(), Vec::new());
        for piece in pieces {
            reader.add(piece);
            while let Some(item) = reader.next(<[u8]>::to_vec)? {
                items.push(item);
            }
        }
        Ok(items)
    }

    proptest! {
        #[test]
        fn items_come_back_whole_however_they_are_cut(
            all in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..20),
            cuts in proptest::collection::vec(1..30_usize, 1..50),
        ) {
            let mut bytes = BytesMut::new();
            all.iter().for_each(|item| put(&mut bytes, item));
            let mut cuts = cuts.into_iter().cycle();
            let pieces = std::iter::from_fn(|| {
                let cut = cuts.next()?.min(bytes.len());
                (cut > 0).then(|| bytes.split_to(cut).freeze())
            });
            prop_assert_eq!(items(pieces), Ok(all));
        }

        #[test]
        fn hostile_pieces_never_panic(pieces in proptest::collection::vec(any::<[u8; 5]>(), 0..20)) {
            let _ = items(pieces.into_iter().map(|piece| Bytes::copy_from_slice(&piece)));
        }
    }

    #[test]
    fn a_large_item_is_cut_into_pieces() {
        let (mut bytes, item) = (BytesMut::new(), vec![7; 3 * PIECE_BYTES]);
        put(&mut bytes, &item);
        let pieces: Vec<_> = std::iter::from_fn(|| Some(cut(&mut bytes)).filter(|piece| !piece.is_empty())).collect();
        assert!(pieces.len() == 4 && pieces.iter().all(|piece| piece.len() <= PIECE_BYTES));
        assert_eq!(items(pieces), Ok(vec![item]));
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_it_is_awaited() {
        let len = MAX_MESSAGE_BYTES + 1;
        assert_eq!(items([Bytes::copy_from_slice(&(len as u32).to_be_bytes())]), Err(len));
    }
}
