//! The table from ids to vectors.

use candle_core::{DType, Device, Result, Tensor, bail};

use crate::linear::{Linear, Weight};
use crate::ops::Mode;

/// A table `[vocabulary, width]`.
#[derive(Debug, Clone)]
pub struct Embedding {
    table: Weight,
    output: DType,
}

impl Embedding {
    pub(crate) fn new(table: Weight, output: DType) -> Self {
        Self { table, output }
    }

    /// The head that shares this table.
    pub(crate) fn as_head(&self, mode: Mode) -> Linear {
        Linear::new(self.table.clone(), None, mode)
    }

    /// Ids (u32, any shape) to vectors; checked here because a GPU would read out of bounds without a word.
    pub(crate) fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let (rows, _) = self.table.dims()?;
        let flat = ids.flatten_all()?.to_dtype(DType::U32)?;
        let on_host = flat.to_device(&Device::Cpu)?.to_vec1::<u32>()?;
        if let Some(id) = on_host.iter().find(|id| **id as usize >= rows) {
            bail!("embed: id {id} is outside the vocabulary of {rows}");
        }
        let vectors = self.table.select(&flat)?;
        let mut shape = ids.dims().to_vec();
        shape.push(vectors.dim(1)?);
        vectors.to_dtype(self.output)?.reshape(shape)
    }
}
