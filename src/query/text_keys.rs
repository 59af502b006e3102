//! The group keys of a window where the only key is a text, as a symbol is: small at the start, since a job
//! holds a table for every open window and partition.
//!
//! DataFusion's own for such a key begins with room for 512 of them, some 40 kB.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};
use datafusion::common::hash_utils::RandomState;
use datafusion::common::{Result, not_impl_err};
use datafusion::logical_expr::EmitTo;
use datafusion::physical_plan::aggregates::group_values::GroupValues;

/// Slots of an empty table, a power of two.
const FIRST_SLOTS: usize = 64;
/// Bytes of a text that a view holds itself, at the most.
const INLINE: usize = 12;
/// The seed of the hashes; any will do, and it must not differ between runs.
const SEED: u64 = 0x5350;

/// Texts in the order in which they were first seen.
///
/// Invariant: `slots` has a power of two of places, at most half of them taken; a place holds the number of a
/// text + 1, or 0.
pub struct TextKeys {
    slots: Vec<u32>,
    hashes: Vec<u64>,
    /// `None` is the null, which is a key as any.
    texts: Vec<Option<Box<str>>>,
    null: Option<usize>,
    random_state: RandomState,
}

impl TextKeys {
    /// No keys.
    pub fn new() -> TextKeys {
        TextKeys {
            slots: vec![0; FIRST_SLOTS],
            hashes: Vec::new(),
            texts: Vec::new(),
            null: None,
            random_state: RandomState::with_seed(SEED),
        }
    }

    fn group(&mut self, text: &str, hash: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            match self.slots[slot] {
                0 => break,
                taken => {
                    let known = taken as usize - 1;
                    if self.hashes[known] == hash && self.texts[known].as_deref() == Some(text) {
                        return known;
                    }
                }
            }
            slot = (slot + 1) & mask;
        }
        let group = self.add(Some(text.into()), hash);
        self.slots[slot] = group as u32 + 1;
        if 2 * self.texts.len() > self.slots.len() {
            self.grow();
        }
        group
    }

    fn null_group(&mut self) -> usize {
        match self.null {
            Some(group) => group,
            None => {
                let group = self.add(None, 0);
                self.null = Some(group);
                group
            }
        }
    }

    fn add(&mut self, text: Option<Box<str>>, hash: u64) -> usize {
        self.texts.push(text);
        self.hashes.push(hash);
        self.texts.len() - 1
    }

    fn grow(&mut self) {
        let slots = 2 * self.slots.len();
        self.slots = vec![0; slots];
        let mask = slots - 1;
        for (group, hash) in self.hashes.iter().enumerate() {
            if self.texts[group].is_none() {
                continue;
            }
            let mut slot = *hash as usize & mask;
            while self.slots[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            self.slots[slot] = group as u32 + 1;
        }
    }
}

impl GroupValues for TextKeys {
    fn intern(&mut self, cols: &[ArrayRef], groups: &mut Vec<usize>) -> Result<()> {
        let texts = cols[0].as_string_view();
        groups.clear();
        // A decoder gives the texts of a frame that are the same one view.
        let mut last: Option<(u128, usize)> = None;
        groups.extend(texts.views().iter().enumerate().map(|(row, &view)| {
            if texts.is_null(row) {
                return self.null_group();
            }
            match last {
                Some((same, group)) if same == view => group,
                _ => {
                    let text = texts.value(row);
                    let group = self.group(text, self.random_state.hash_one(text));
                    last = Some((view, group));
                    group
                }
            }
        }));
        Ok(())
    }

    fn size(&self) -> usize {
        let texts = self.texts.iter().flatten();
        size_of::<TextKeys>()
            + self.slots.capacity() * size_of::<u32>()
            + self.hashes.capacity() * size_of::<u64>()
            + self.texts.capacity() * size_of::<Option<Box<str>>>()
            + texts.map(|text| text.len()).sum::<usize>()
    }

    fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    fn len(&self) -> usize {
        self.texts.len()
    }

    /// All of them, in the order in which they were first seen; nothing is left.
    fn emit(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        if let EmitTo::First(_) = emit_to {
            return not_impl_err!("a window's keys are emitted at once");
        }
        let texts = std::mem::replace(self, TextKeys::new()).texts;
        // A block of its own would be 8 kB, which every closed window has until it is committed.
        let long = texts.iter().flatten().filter(|text| text.len() > INLINE);
        let bytes = long.map(|text| text.len()).sum::<usize>().max(1);
        let block = u32::try_from(bytes).unwrap_or(u32::MAX);
        let mut array = StringViewBuilder::with_capacity(texts.len()).with_fixed_block_size(block);
        texts
            .iter()
            .for_each(|text| array.append_option(text.as_deref()));
        Ok(vec![Arc::new(array.finish())])
    }

    fn clear_shrink(&mut self, _: usize) {
        *self = TextKeys::new();
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::StringViewArray;

    use super::*;

    #[test]
    fn keys_are_numbered_as_they_come_and_emitted_in_that_order() {
        let mut keys = TextKeys::new();
        let mut groups = Vec::new();
        let array = |texts: Vec<Option<String>>| Arc::new(StringViewArray::from(texts)) as ArrayRef;
        let names: Vec<Option<String>> = (0..5000)
            .map(|at| (at % 7 != 3).then(|| format!("BINANCE:SYMBOL{}", at % 1000)))
            .collect();
        for part in names.chunks(97) {
            keys.intern(&[array(part.to_vec())], &mut groups)
                .expect("texts");
            for (name, &group) in part.iter().zip(&groups) {
                assert_eq!(keys.texts[group].as_deref(), name.as_deref());
            }
        }
        let mut seen: Vec<Option<String>> = Vec::new();
        for name in &names {
            if !seen.contains(name) {
                seen.push(name.clone());
            }
        }
        assert_eq!(keys.len(), seen.len());
        let emitted = keys.emit(EmitTo::All).expect("all");
        let emitted: Vec<Option<String>> = emitted[0]
            .as_string_view()
            .iter()
            .map(|text| text.map(str::to_owned))
            .collect();
        assert_eq!(emitted, seen);
        assert!(keys.is_empty());
        keys.intern(&[array(vec![None, Some(String::new())])], &mut groups)
            .expect("texts");
        assert_eq!(groups, [0, 1]);
    }
}
