//! PTX that is refused: where, and in what words.

use aquifer_ptx::Module;

/// A kernel whose line 6 is `statement`, indented by four.
fn kernel(statement: &str) -> String {
    format!(
        ".version 7.0\n.target sm_52\n.address_size 64\n.visible .entry k(.param .u64 p) {{\n\
         .reg .pred %p<4>; .reg .b32 %r<8>; .reg .b64 %rd<8>; .reg .f32 %f<4>;\n    {statement}\nret;\n}}\n"
    )
}

#[test]
fn a_statement_that_cannot_run_is_refused_where_it_is_wrong() {
    for (statement, column, words) in [
        (
            "frobnicate.u32 %r1, %r2;",
            5,
            "unknown instruction `frobnicate`",
        ),
        (
            "add.s32 %r1, %r2;",
            5,
            "`add` takes 3 operands here, found 2",
        ),
        ("add.s32 %r1, %r2, %r9;", 23, "`%r9`"),
        ("add.s33 %r1, %r2, %r3;", 8, "`.s33`"),
        ("add.rn.s32 %r1, %r2, %r3;", 8, "`.rn`"),
        ("add.f32 %f1, %f2, %rd1;", 23, "64 bits"),
        (
            "cvt.f32.s32 %f1, %r1;",
            5,
            "`cvt.f32.s32`: a rounding such as .rn is needed here",
        ),
        (
            "wgmma.mma_async.sync.aligned;",
            5,
            "unknown instruction `wgmma`",
        ),
        ("bra nowhere;", 9, "there is no label `nowhere`"),
        ("call.uni nobody;", 14, "unknown function `nobody`"),
        ("ld.global.u32 %r1, [%rd1;", 29, "expected `]`"),
        ("mov.u32 %r1, 0x;", 18, "not a number"),
        ("mov.f32 %f1, 0f12;", 18, "needs 8 hex digits"),
        ("@%p9 bra next;", 10, "`%p9`"),
        ("add.s32 %r1, %r2, #;", 23, "unexpected character '#'"),
        (".shared .b8 tile[16777217];", 17, "16 MiB"),
        (".local .b8 own[600000];", 16, "512 KiB"),
    ] {
        let error = Module::parse(kernel(statement).as_bytes(), 80)
            .map(|_| ())
            .expect_err(statement);
        assert_eq!(
            (error.line, error.column),
            (6, column),
            "{statement}: {error}"
        );
        assert!(error.message.contains(words), "{statement}: {error}");
    }
}

#[test]
fn a_module_that_cannot_be_is_refused() {
    let header = ".version 7.0\n.target sm_52\n.address_size 64\n";
    for (text, line, words) in [
        ("", 1, "`.version`"),
        (
            ".version 7.0\n.target sm_90\n.address_size 64\n",
            2,
            "newer than this device",
        ),
        (".version 7.0\n.target sm_52\n.address_size 32\n", 3, "64"),
        (
            &format!("{header}.visible .entry k() {{\nret;\n"),
            4,
            "never closed",
        ),
        (
            &format!("{header}.visible .entry k() {{ ret; }}\n.visible .entry k() {{ ret; }}\n"),
            5,
            "defined twice",
        ),
        (
            &format!("{header}.global .b8 big[99999999999];\n"),
            4,
            "larger than 4 GiB",
        ),
        (
            &format!("{header}.global .u32 few[2] = {{1, 2, 3}};\n"),
            4,
            "more values",
        ),
        (
            &format!("{header}.global .u64 p = nothing;\n"),
            4,
            "`nothing`",
        ),
        (&format!("{header}/* never\nclosed"), 4, "comment"),
    ] {
        let error = Module::parse(text.as_bytes(), 80)
            .map(|_| ())
            .expect_err(text);
        assert_eq!(error.line, line, "{text}: {error}");
        assert!(error.message.contains(words), "{text}: {error}");
    }
    assert!(Module::parse(b".version 7.0\n\xff", 80).is_err_and(|e| e.message.contains("UTF-8")));
}

/// Texts that are small beside what a naive reader would allocate for them.
#[test]
fn a_text_cannot_ask_for_more_than_its_size_deserves() {
    let header = ".version 7.0\n.target sm_52\n.address_size 64\n";
    let many = |count: usize, f: &dyn Fn(usize) -> String| (0..count).map(f).collect::<String>();
    let rows = many(4, &|n| {
        format!(".global .b8 v{n}[3][1000000000] = {{{{1}},{{1}}}};\n")
    });
    let tangle = format!(
        ".visible .entry k() {{\n.reg .b32 %r<60000>;\n{}ret;\n}}\n",
        many(50_000, &|n| format!("L{n}: mov.b32 %r{n}, {n};\n"))
    );
    let switches = format!(
        ".visible .entry k() {{\n.reg .b32 %r<2>;\nT: .branchtargets {}A;\n{}A: ret;\n}}\n",
        "A, ".repeat(20_000),
        "brx.idx %r1, T;\n".repeat(20_000)
    );
    let kernels = format!(
        ".func f() {{\n.reg .b32 %r<2>;\n{}ret;\n}}\n{}",
        "add.s32 %r1, %r1, 1;\n".repeat(20_000),
        many(1000, &|n| format!(
            ".visible .entry k{n}() {{ call.uni f; ret; }}\n"
        ))
    );
    let chain = ".func f0() { .local .b8 own[400000]; ret; }\n\
                 .func f1() { .local .b8 own[400000]; call.uni f0; ret; }\n\
                 .visible .entry k() { call.uni f1; ret; }\n";
    for (what, body) in [
        ("padding", rows),
        ("registers in many blocks", tangle),
        ("switches with many targets", switches),
        ("kernels that share functions", kernels),
        ("local memory of a chain of calls", chain.to_owned()),
        (
            "scopes in one another",
            format!(
                ".visible .entry k() {{\n{}{}ret;\n}}\n",
                "{".repeat(1000),
                "}".repeat(1000)
            ),
        ),
        (
            "braces",
            format!(".visible .entry k() {{\n{}", "{".repeat(1 << 20)),
        ),
        (
            "initialisers in one another",
            format!(".global .b8 x[9] = {}", "{".repeat(1 << 20)),
        ),
        (
            "operands in one another",
            format!(".visible .entry k() {{ add.s32 {}", "{(".repeat(1 << 18)),
        ),
    ] {
        let refused = Module::parse(format!("{header}{body}").as_bytes(), 80);
        assert!(refused.is_err(), "{what}");
    }
}
