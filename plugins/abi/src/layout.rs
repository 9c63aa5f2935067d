//! The layout that the contract fixes for 64-bit targets, checked when this crate is compiled. A field that moves breaks
//! every plugin in the world, so it has to break this build first.

#![cfg(target_pointer_width = "64")]

use std::mem::{align_of, offset_of, size_of};

use crate::{
    Create, DlDataType, DlDevice, DlManagedTensor, DlTensor, Encoder, Features, Host, Input, Jobs, Plugin,
    Segment, Sink, Transcriber,
};

macro_rules! assert_layout {
    ($type:ty, $size:literal, $($field:ident at $offset:literal),+ $(,)?) => {
        const _: () = {
            assert!(size_of::<$type>() == $size);
            assert!(align_of::<$type>() <= 8);
            $(assert!(offset_of!($type, $field) == $offset);)+
        };
    };
}

assert_layout!(DlDevice, 8, device_type at 0, device_id at 4);
assert_layout!(DlDataType, 4, code at 0, bits at 1, lanes at 2);
assert_layout!(
    DlTensor, 48, data at 0, device at 8, ndim at 16, dtype at 20, shape at 24, strides at 32, byte_offset at 40
);
assert_layout!(
    DlManagedTensor, 80, version_major at 0, version_minor at 4, manager_ctx at 8, deleter at 16, flags at 24,
    tensor at 32
);
assert_layout!(Host, 40, size at 0, context at 8, log at 16, now_ns at 24, thread_budget at 32);
assert_layout!(Segment, 32, size at 0, start at 8, end at 16, text at 24);
assert_layout!(
    Sink, 56, size at 0, context at 8, push_tensor at 16, push_segment at 24, set_property at 32, fail at 40,
    cancelled at 48
);
assert_layout!(
    Input, 48, size at 0, form at 4, data at 8, length at 16, width at 24, height at 28, sample_rate at 32,
    mime at 40
);
assert_layout!(
    Create, 56, size at 0, width at 4, host at 8, sink at 16, call at 24, space at 32, cache_dir at 40,
    settings at 48
);
assert_layout!(
    Plugin, 56, size at 0, abi_major at 4, abi_minor at 8, manifest at 16, create at 24, destroy at 32,
    status at 40, get_extension at 48
);
assert_layout!(Encoder, 16, size at 0, encode at 8);
assert_layout!(Features, 16, size at 0, features at 8);
assert_layout!(Transcriber, 16, size at 0, transcribe at 8);
assert_layout!(Jobs, 24, size at 0, kinds at 8, prepare at 16);
