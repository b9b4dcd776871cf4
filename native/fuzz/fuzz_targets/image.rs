//! A module image on its way to the driver: pieces put together and checked by the worker, then read by the software
//! GPU, which is told no length. The sanitizer sees a read past the padding.
#![no_main]

use aquifer_protocol::generated::SourceData;
use aquifer_worker::image::{Options, Sources};
use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../softgpu/src/image.rs"]
mod softgpu_image;

fuzz_target!(|data: &[u8]| {
    let Some((&cut, image)) = data.split_first() else {
        return;
    };
    let _ = Options::read(image, usize::from(cut)).map(|mut options| options.parts().0);
    let mut sources = Sources::default();
    let total = image.len() as u64;
    let (first, second) = image.split_at(image.len() * usize::from(cut) / 256);
    for (offset, piece) in [(0, first), (first.len(), second)] {
        let call = SourceData {
            total,
            offset: offset as u64,
            source: 1,
        };
        match sources.room(&call, piece.len()) {
            Some(room) => room.copy_from_slice(piece),
            None => return,
        }
    }
    if let Some(image) = sources.take(1) {
        // SAFETY: the worker has found it good to be handed to a driver.
        let _ = unsafe { softgpu_image::ptx_at(image.as_ptr(), 80) };
    }
});
