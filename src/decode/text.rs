//! Text and bytes under construction: views (Utf8View) and offsets (Utf8, Binary).

use std::mem;

use arrow::array::{ByteView, make_view};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};

use super::value::Misfit;

/// Longest text that a view holds within itself, bytes.
const INLINE_BYTES: u32 = 12;
/// Most bytes of a block: view offsets are 32 bits wide.
const BLOCK_BYTES: usize = 1 << 30;

/// Values of a Utf8View column: short texts within the view, long ones in blocks.
#[derive(Default)]
pub(super) struct Views {
    views: Vec<u128>,
    /// Blocks that are full.
    full: Vec<Vec<u8>>,
    /// The block that is being filled; its index is `full.len()`.
    block: Vec<u8>,
}

impl Views {
    /// Appends a text, which is UTF-8. A long one that is the same as the one before has the same view.
    #[inline]
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if bytes.len() <= INLINE_BYTES as usize {
            self.views.push(make_view(bytes, 0, 0));
        } else if let Some(&last) = self.views.last()
            && self.is_the_text(last, bytes)
        {
            self.views.push(last);
        } else {
            self.push_long(bytes);
        }
    }

    /// Whether a view is of a long text in the present block, and that text is this.
    #[inline(always)]
    fn is_the_text(&self, view: u128, bytes: &[u8]) -> bool {
        let view = ByteView::from(view);
        let start = view.offset as usize;
        view.length as usize == bytes.len()
            && view.buffer_index as usize == self.full.len()
            && self.block.get(start..start + bytes.len()) == Some(bytes)
    }

    fn push_long(&mut self, bytes: &[u8]) {
        if self.block.len() + bytes.len() > BLOCK_BYTES && !self.block.is_empty() {
            self.full.push(mem::take(&mut self.block));
        }
        let (index, offset) = (self.full.len() as u32, self.block.len() as u32);
        self.views.push(make_view(bytes, index, offset));
        self.block.extend_from_slice(bytes);
    }

    pub(super) fn push_null(&mut self) {
        self.views.push(0);
    }

    /// Forgets the values from `row` on, with their bytes: a run of bad elements costs no memory.
    pub(super) fn truncate(&mut self, row: usize) {
        let gone = self.views.get(row..).unwrap_or_default();
        // The first may be one with the last that stays.
        let stays = row.checked_sub(1).and_then(|last| self.views.get(last));
        let first_long = gone
            .iter()
            .filter(|view| Some(*view) != stays)
            .map(|&view| ByteView::from(view))
            .find(|view| view.length > INLINE_BYTES);
        if let Some(view) = first_long {
            if let Some(block) = self.full.get_mut(view.buffer_index as usize) {
                self.block = mem::take(block);
                self.full.truncate(view.buffer_index as usize);
            }
            self.block.truncate(view.offset as usize);
        }
        self.views.truncate(row);
    }

    pub(super) fn take(&mut self) -> (ScalarBuffer<u128>, Vec<Buffer>) {
        let views = Vec::with_capacity(self.views.len());
        let views = mem::replace(&mut self.views, views);
        let block = Vec::with_capacity(self.block.len());
        let block = mem::replace(&mut self.block, block);
        let mut blocks: Vec<Buffer> = self.full.drain(..).map(Buffer::from_vec).collect();
        if !block.is_empty() {
            blocks.push(Buffer::from_vec(block));
        }
        (ScalarBuffer::from(views), blocks)
    }
}

/// Values of a Utf8 or Binary column.
pub(super) struct Bytes {
    /// Where each value ends; starts with a zero.
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

impl Default for Bytes {
    fn default() -> Bytes {
        Bytes {
            offsets: vec![0],
            bytes: Vec::new(),
        }
    }
}

impl Bytes {
    /// Appends a value; fails when the column would pass 2 GiB, which its offsets cannot express.
    pub(super) fn push(&mut self, value: &[u8]) -> Result<(), Misfit> {
        let end = i32::try_from(self.bytes.len() + value.len()).map_err(|_| Misfit::Full)?;
        self.bytes.extend_from_slice(value);
        self.offsets.push(end);
        Ok(())
    }

    pub(super) fn push_null(&mut self) {
        self.offsets.push(self.offsets[self.offsets.len() - 1]);
    }

    /// Forgets the values from `row` on.
    pub(super) fn truncate(&mut self, row: usize) {
        self.offsets.truncate(row + 1);
        self.bytes
            .truncate(self.offsets[self.offsets.len() - 1] as usize);
    }

    pub(super) fn take(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        let offsets = Vec::with_capacity(self.offsets.len());
        let offsets = mem::replace(&mut self.offsets, offsets);
        self.offsets.push(0);
        let bytes = Vec::with_capacity(self.bytes.len());
        let bytes = mem::replace(&mut self.bytes, bytes);
        (
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            Buffer::from_vec(bytes),
        )
    }
}
