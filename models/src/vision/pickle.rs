//! A reader for the part of Python's pickle format that a torch state dict uses.
//!
//! Nothing is executed: a pickle may name four classes and functions of torch by a fixed list, and everything else is an
//! error. All containers live in one arena and are referred to by index, so that no input, however nested or shared, can
//! make the reader recurse or copy more than the file's own size. Opcodes: CPython's `Lib/pickletools.py`.

use std::collections::HashMap;

use super::pth::PthError;

/// Element types of storages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    F64,
    F32,
    F16,
    BF16,
    I64,
    U8,
}

/// The globals that a state dict may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    Storage(Element),
}

impl Global {
    fn find(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch", "DoubleStorage") => Self::Storage(Element::F64),
            ("torch", "FloatStorage") => Self::Storage(Element::F32),
            ("torch", "HalfStorage") => Self::Storage(Element::F16),
            ("torch", "BFloat16Storage") => Self::Storage(Element::BF16),
            ("torch", "LongStorage") => Self::Storage(Element::I64),
            ("torch", "ByteStorage") => Self::Storage(Element::U8),
            _ => return None,
        })
    }
}

/// A value on the pickle machine's stack; numbers in containers' variants index [`Pickle`]'s tables.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Text(&'a str),
    Global(Global),
    Tuple(usize),
    List(usize),
    /// Keys and values in turn.
    Dict(usize),
    Storage(usize),
    Tensor(usize),
}

/// `('storage', type, key, location, numel, None)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StorageRef<'a> {
    pub(super) element: Element,
    pub(super) key: &'a str,
    pub(super) numel: usize,
}

/// A view into a storage, in elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TensorRef<'a> {
    pub(super) storage: StorageRef<'a>,
    pub(super) offset: usize,
    pub(super) size: Vec<usize>,
    pub(super) stride: Vec<usize>,
}

/// A pickle that was read to its end.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    pub(super) root: Value<'a>,
    pub(super) tensors: Vec<TensorRef<'a>>,
    containers: Vec<Vec<Value<'a>>>,
}

impl<'a> Pickle<'a> {
    /// Items of a list.
    pub(super) fn list(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match value {
            Value::List(id) => self.containers.get(id).map(Vec::as_slice),
            _ => None,
        }
    }

    /// Key/value pairs of a dict.
    pub(super) fn dict(&self, value: Value<'a>) -> Option<impl Iterator<Item = (Value<'a>, Value<'a>)>> {
        match value {
            Value::Dict(id) => {
                self.containers.get(id).map(|items| items.chunks_exact(2).map(|pair| (pair[0], pair[1])))
            }
            _ => None,
        }
    }
}

/// Bytes with a position; every read is checked.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], PthError> {
        let left = &self.bytes[self.at..];
        let taken = left.get(..n).ok_or(PthError::Truncated { at: self.at, wanted: n, left: left.len() })?;
        self.at += n;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PthError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    pub(super) fn i64(&mut self) -> Result<i64, PthError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    fn u8(&mut self) -> Result<u8, PthError> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32, PthError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn text(&mut self, n: usize) -> Result<&'a str, PthError> {
        let at = self.at;
        std::str::from_utf8(self.take(n)?).map_err(|_| PthError::malformed(at, "text in UTF-8"))
    }

    fn line(&mut self) -> Result<&'a str, PthError> {
        let left = &self.bytes[self.at..];
        let n = left.iter().position(|&b| b == b'\n').ok_or(PthError::Truncated {
            at: self.at,
            wanted: left.len() + 1,
            left: left.len(),
        })?;
        let line = self.text(n)?;
        self.at += 1;
        Ok(line)
    }
}

/// Reads one pickle from the cursor and leaves the cursor behind it.
pub(super) fn read<'a>(cursor: &mut Cursor<'a>) -> Result<Pickle<'a>, PthError> {
    let mut machine = Machine::default();
    loop {
        let at = cursor.at;
        let opcode = cursor.u8()?;
        if opcode == b'.' {
            let root = machine.pop(at)?;
            return Ok(Pickle { root, tensors: machine.tensors, containers: machine.containers });
        }
        machine.step(opcode, at, cursor)?;
    }
}

#[derive(Default)]
struct Machine<'a> {
    stack: Vec<Value<'a>>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    containers: Vec<Vec<Value<'a>>>,
    storages: Vec<StorageRef<'a>>,
    tensors: Vec<TensorRef<'a>>,
}

impl<'a> Machine<'a> {
    fn step(&mut self, opcode: u8, at: usize, cursor: &mut Cursor<'a>) -> Result<(), PthError> {
        match opcode {
            0x80 => {
                cursor.u8()?;
            }
            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
            b'K' => self.int(i64::from(cursor.u8()?)),
            b'M' => self.int(i64::from(u16::from_le_bytes(cursor.array()?))),
            b'J' => self.int(i64::from(i32::from_le_bytes(cursor.array()?))),
            0x8a => self.long(at, cursor)?,
            b'X' => {
                let n = cursor.u32()? as usize;
                self.stack.push(Value::Text(cursor.text(n)?));
            }
            b'c' => self.global(cursor)?,
            b'q' => self.put(u32::from(cursor.u8()?), at)?,
            b'r' => self.put(cursor.u32()?, at)?,
            b'h' => self.get(u32::from(cursor.u8()?), at)?,
            b'j' => self.get(cursor.u32()?, at)?,
            b'(' => self.marks.push(self.stack.len()),
            b')' => self.container(Vec::new(), Value::Tuple),
            b']' => self.container(Vec::new(), Value::List),
            b'}' => self.container(Vec::new(), Value::Dict),
            0x85..=0x87 => self.short_tuple(usize::from(opcode - 0x84), at)?,
            b't' => {
                let items = self.pop_to_mark(at)?;
                self.container(items, Value::Tuple);
            }
            b'a' => {
                let item = self.pop(at)?;
                self.extend(&[item], at)?;
            }
            b's' => {
                let value = self.pop(at)?;
                let key = self.pop(at)?;
                self.extend(&[key, value], at)?;
            }
            b'e' | b'u' => {
                let items = self.pop_to_mark(at)?;
                self.extend(&items, at)?;
            }
            // Attributes of the dict itself (`_metadata`): of no use here.
            b'b' => {
                self.pop(at)?;
            }
            b'Q' => self.persistent(at)?,
            b'R' => self.reduce(at)?,
            opcode => return Err(PthError::Opcode { at, opcode }),
        }
        Ok(())
    }

    fn int(&mut self, value: i64) {
        self.stack.push(Value::Int(value));
    }

    fn long(&mut self, at: usize, cursor: &mut Cursor<'a>) -> Result<(), PthError> {
        let n = usize::from(cursor.u8()?);
        let bytes = cursor.take(n)?;
        if n > 8 {
            return Err(PthError::malformed(at, "an integer of at most 8 bytes"));
        }
        let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..n].copy_from_slice(bytes);
        self.int(i64::from_le_bytes(wide));
        Ok(())
    }

    fn global(&mut self, cursor: &mut Cursor<'a>) -> Result<(), PthError> {
        let (module, name) = (cursor.line()?, cursor.line()?);
        let found = Global::find(module, name);
        let global = found.ok_or_else(|| PthError::Global { name: format!("{module}.{name}") })?;
        self.stack.push(Value::Global(global));
        Ok(())
    }

    fn put(&mut self, index: u32, at: usize) -> Result<(), PthError> {
        let top = self.stack.last().ok_or_else(|| PthError::malformed(at, "a value to remember"))?;
        self.memo.insert(index, *top);
        Ok(())
    }

    fn get(&mut self, index: u32, at: usize) -> Result<(), PthError> {
        let value = self.memo.get(&index).ok_or_else(|| PthError::malformed(at, "a remembered value"))?;
        self.stack.push(*value);
        Ok(())
    }

    fn pop(&mut self, at: usize) -> Result<Value<'a>, PthError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(PthError::malformed(at, "a value on the stack"));
        }
        self.stack.pop().ok_or_else(|| PthError::malformed(at, "a value on the stack"))
    }

    fn pop_to_mark(&mut self, at: usize) -> Result<Vec<Value<'a>>, PthError> {
        let mark = self.marks.pop().ok_or_else(|| PthError::malformed(at, "an open mark"))?;
        // `pop` never goes below an open mark, so `mark` is within the stack.
        Ok(self.stack.split_off(mark))
    }

    fn container(&mut self, items: Vec<Value<'a>>, kind: fn(usize) -> Value<'a>) {
        self.stack.push(kind(self.containers.len()));
        self.containers.push(items);
    }

    fn short_tuple(&mut self, n: usize, at: usize) -> Result<(), PthError> {
        let mut items = (0..n).map(|_| self.pop(at)).collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        self.container(items, Value::Tuple);
        Ok(())
    }

    /// Adds to the list, or pairs to the dict, on top of the stack.
    fn extend(&mut self, items: &[Value<'a>], at: usize) -> Result<(), PthError> {
        let id = match self.stack.last() {
            Some(Value::List(id)) => *id,
            Some(Value::Dict(id)) if items.len().is_multiple_of(2) => *id,
            _ => return Err(PthError::malformed(at, "a list, or a dict and pairs for it")),
        };
        self.containers[id].extend_from_slice(items);
        Ok(())
    }

    fn tuple(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match value {
            Value::Tuple(id) => Some(&self.containers[id]),
            _ => None,
        }
    }

    fn persistent(&mut self, at: usize) -> Result<(), PthError> {
        let id = self.pop(at)?;
        let storage = match self.tuple(id) {
            Some(
                &[
                    Value::Text("storage"),
                    Value::Global(Global::Storage(element)),
                    Value::Text(key),
                    Value::Text(_),
                    Value::Int(numel),
                    Value::None,
                ],
            ) => usize::try_from(numel).ok().map(|numel| StorageRef { element, key, numel }),
            _ => None,
        };
        let storage = storage.ok_or_else(|| PthError::malformed(at, "a storage id"))?;
        self.stack.push(Value::Storage(self.storages.len()));
        self.storages.push(storage);
        Ok(())
    }

    fn reduce(&mut self, at: usize) -> Result<(), PthError> {
        let args = self.pop(at)?;
        let callable = self.pop(at)?;
        match (callable, self.tuple(args)) {
            (Value::Global(Global::OrderedDict), Some([])) => self.container(Vec::new(), Value::Dict),
            (Value::Global(Global::RebuildTensor), Some(args)) => {
                let tensor = self
                    .rebuild_tensor(args)
                    .ok_or_else(|| PthError::malformed(at, "a storage, an offset, a size and strides"))?;
                self.stack.push(Value::Tensor(self.tensors.len()));
                self.tensors.push(tensor);
            }
            _ => return Err(PthError::malformed(at, "a call of OrderedDict or _rebuild_tensor_v2")),
        }
        Ok(())
    }

    /// `_rebuild_tensor_v2(storage, storage_offset, size, stride, requires_grad, backward_hooks)`.
    fn rebuild_tensor(&self, args: &[Value<'a>]) -> Option<TensorRef<'a>> {
        let &[Value::Storage(storage), Value::Int(offset), size, stride, Value::Bool(_), _] = args else {
            return None;
        };
        let numbers = |value| self.tuple(value)?.iter().map(as_usize).collect::<Option<Vec<_>>>();
        let (size, stride) = (numbers(size)?, numbers(stride)?);
        let matching = size.len() == stride.len();
        matching.then_some(TensorRef {
            storage: self.storages[storage],
            offset: usize::try_from(offset).ok()?,
            size,
            stride,
        })
    }
}

fn as_usize(value: &Value<'_>) -> Option<usize> {
    match value {
        Value::Int(n) => usize::try_from(*n).ok(),
        _ => None,
    }
}
