//! The scalar types of PTX.

/// A fundamental type, as in `.u32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Scalar {
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
    B8,
    B16,
    B32,
    B64,
    F16,
    F16x2,
    F32,
    F64,
    Pred,
}

impl Scalar {
    /// The type named by a modifier without its dot.
    pub fn from_name(name: &str) -> Option<Scalar> {
        Some(match name {
            "u8" => Scalar::U8,
            "u16" => Scalar::U16,
            "u32" => Scalar::U32,
            "u64" => Scalar::U64,
            "s8" => Scalar::S8,
            "s16" => Scalar::S16,
            "s32" => Scalar::S32,
            "s64" => Scalar::S64,
            "b8" => Scalar::B8,
            "b16" => Scalar::B16,
            "b32" => Scalar::B32,
            "b64" => Scalar::B64,
            "f16" => Scalar::F16,
            "f16x2" => Scalar::F16x2,
            "f32" => Scalar::F32,
            "f64" => Scalar::F64,
            "pred" => Scalar::Pred,
            _ => return None,
        })
    }

    /// Size in bytes; a predicate counts as one.
    pub fn bytes(self) -> u32 {
        match self {
            Scalar::U8 | Scalar::S8 | Scalar::B8 | Scalar::Pred => 1,
            Scalar::U16 | Scalar::S16 | Scalar::B16 | Scalar::F16 => 2,
            Scalar::U32 | Scalar::S32 | Scalar::B32 | Scalar::F32 | Scalar::F16x2 => 4,
            Scalar::U64 | Scalar::S64 | Scalar::B64 | Scalar::F64 => 8,
        }
    }

    /// Whether it is two's complement signed.
    pub fn signed(self) -> bool {
        matches!(self, Scalar::S8 | Scalar::S16 | Scalar::S32 | Scalar::S64)
    }

    /// Whether it is a floating point type (packed halves included).
    pub fn float(self) -> bool {
        matches!(
            self,
            Scalar::F16 | Scalar::F16x2 | Scalar::F32 | Scalar::F64
        )
    }
}
