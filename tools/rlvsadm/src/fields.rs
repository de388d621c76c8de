// SPDX-License-Identifier: GPL-2.0
//! The attributes of an answer or of a nest in it, by their types.

use crate::error::LinkError;
use crate::wire::nlattr::{Attr, Attrs};

/// Longest string that an answer may carry; no name in the protocol comes near it.
const TEXT_MAX: usize = 255;

/// Attributes, and what they describe.
#[derive(Debug)]
pub struct Fields<'a> {
    of: &'static str,
    attrs: Vec<Attr<'a>>,
}

impl<'a> Fields<'a> {
    /// The attributes of `of` in `bytes`.
    pub fn read(bytes: &'a [u8], of: &'static str) -> Result<Self, LinkError> {
        let attrs = Attrs::new(bytes).collect::<Result<_, _>>()?;
        Ok(Fields { of, attrs })
    }

    /// The attributes in the nest `kind`, which are those of `of`.
    pub fn nest(&self, kind: u16, of: &'static str) -> Result<Self, LinkError> {
        Fields::read(self.need(kind)?.payload, of)
    }

    /// The attribute, if there is one; the last of several counts, as in the kernel.
    pub fn find(&self, kind: u16) -> Option<Attr<'a>> {
        self.attrs
            .iter()
            .rev()
            .find(|attr| attr.kind == kind)
            .copied()
    }

    /// The attribute, which must be there.
    pub fn need(&self, kind: u16) -> Result<Attr<'a>, LinkError> {
        let of = self.of;
        self.find(kind)
            .ok_or_else(|| LinkError::Answer(format!("a {of} without attribute {kind}")))
    }

    /// A u16 that must be there.
    pub fn u16(&self, kind: u16) -> Result<u16, LinkError> {
        Ok(self.need(kind)?.u16()?)
    }

    /// A u32 that must be there.
    pub fn u32(&self, kind: u16) -> Result<u32, LinkError> {
        Ok(self.need(kind)?.u32()?)
    }

    /// A u64, 0 if it is not there.
    pub fn count(&self, kind: u16) -> Result<u64, LinkError> {
        Ok(self.find(kind).map_or(Ok(0), |attr| attr.u64())?)
    }

    /// A string, if there is one.
    pub fn maybe_text(&self, kind: u16) -> Result<Option<String>, LinkError> {
        let found = self.find(kind).map(|attr| attr.str(TEXT_MAX));
        Ok(found.transpose()?.map(str::to_owned))
    }

    /// A string that must be there.
    pub fn text(&self, kind: u16) -> Result<String, LinkError> {
        Ok(self.need(kind)?.str(TEXT_MAX)?.to_owned())
    }
}
