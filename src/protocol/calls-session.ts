import { fields, words, type Call } from './call-shape.ts';

/** The session itself, and contexts. */
export const sessionCalls: readonly Call[] = [
  {
    name: 'Attach',
    number: 1,
    kind: 'post',
    about:
      "The client's first frame: proves that it opened the session. Versions are PROTOCOL_MAJOR and the fingerprint.",
    fields: fields('secret:u8x32 fingerprint:u64 major:u32 pid:u32'),
  },
  {
    name: 'RangeRefused',
    number: 2,
    kind: 'request',
    about:
      "The client cannot map the vGPU's address range at `base`; the worker offers another, or fails with OUT_OF_MEMORY.",
    fields: fields('vgpu:u32 base:u64'),
    reply: { fields: fields('base:u64 bytes:u64') },
  },
  {
    name: 'Counters',
    number: 3,
    kind: 'post',
    about: 'What the client counted since its last Counters frame.',
    fields: fields('not_supported:u64'),
  },
  {
    name: 'Resume',
    number: 4,
    kind: 'post',
    about:
      "The client's first frame on another connection for the same session: the secret that the worker gave last, and the " +
      'highest sequence of the worker that has come.',
    fields: fields('secret:u8x32 received:u64 fingerprint:u64 major:u32 reserved:u32'),
  },
  {
    name: 'Goodbye',
    number: 5,
    kind: 'post',
    about: 'The program ends. Without it a connection that ends is one that was lost.',
    fields: [],
  },
  {
    name: 'Alive',
    number: 6,
    kind: 'post',
    about: 'Says nothing but that the client is there, and its acknowledgement.',
    fields: [],
  },
  {
    name: 'ContextCreate',
    number: 16,
    kind: 'post',
    about: 'Makes a context before its first use. `primary` is 1 for the primary context of the vGPU.',
    fields: fields('context:u32 vgpu:u32 flags:u32 primary:u32'),
    serves: words('cuCtxCreate cuDevicePrimaryCtxRetain'),
  },
  {
    name: 'ContextDestroy',
    number: 17,
    kind: 'post',
    about: 'Destroys a context with all that lives in it; a primary context is reset.',
    fields: fields('context:u32'),
    serves: words('cuCtxDestroy cuCtxDetach cuDevicePrimaryCtxRelease cuDevicePrimaryCtxReset'),
  },
  {
    name: 'ContextSynchronize',
    number: 18,
    kind: 'request',
    about: 'Answered when all work of the context is done.',
    fields: fields('context:u32'),
    reply: { fields: [] },
    serves: words('cuCtxSynchronize'),
  },
  {
    name: 'ContextSetLimit',
    number: 19,
    kind: 'request',
    about: 'Sets one CUlimit.',
    fields: fields('context:u32 limit:u32 value:u64'),
    reply: { fields: [] },
    serves: words('cuCtxSetLimit'),
  },
  {
    name: 'ContextGetLimit',
    number: 20,
    kind: 'request',
    about: 'Reads one CUlimit.',
    fields: fields('context:u32 limit:u32'),
    reply: { fields: fields('value:u64') },
    serves: words('cuCtxGetLimit'),
  },
  {
    name: 'Hello',
    number: 0x8001,
    kind: 'push',
    about: "The worker's first frame. Tail: the worker's product version.",
    fields: fields('fingerprint:u64 major:u32 vgpus:u32'),
    tail: 'UTF-8 text',
  },
  {
    name: 'Closed',
    number: 0x8002,
    kind: 'push',
    about: 'The worker ends the session, or refuses it before Facts. `result` is the CUresult that later calls return.',
    fields: fields('result:u32'),
    tail: 'reason, UTF-8 text',
  },
  {
    name: 'Facts',
    number: 0x8003,
    kind: 'push',
    about: 'Answer to Attach; `vgpus` DeviceFacts follow.',
    fields: fields('vgpus:u32 driver_version:u32 session:u32 features:u32'),
  },
  {
    name: 'DeviceFacts',
    number: 0x8004,
    kind: 'push',
    about:
      'One vGPU. `memory_bytes` is its limit; the address range begins at `base`. Texts are padded with zero bytes. Tail: pairs of i32, attribute and value.',
    fields: fields(
      'uuid:u8x16 name:u8x128 pci_bus_id:u8x32 memory_bytes:u64 base:u64 range_bytes:u64 granularity:u64 vgpu:u32 ' +
        'compute_percent:u32 least_priority:i32 greatest_priority:i32',
    ),
    tail: 'attributes',
    serves: words('cuDeviceGetAttribute cuDeviceGetName cuDeviceGetUuid cuDeviceTotalMem cuDeviceGetCount'),
  },
  {
    name: 'Acknowledge',
    number: 0x8005,
    kind: 'push',
    about: "Carries nothing but its header's acknowledgement.",
    fields: [],
  },
  {
    name: 'Resumable',
    number: 0x800a,
    kind: 'push',
    about:
      'After the DeviceFacts, where the session survives the loss of its connection: what to show to resume it, and for ' +
      'how many seconds the worker waits.',
    fields: fields('secret:u8x32 grace_seconds:u32 reserved:u32'),
  },
  {
    name: 'Resumed',
    number: 0x800b,
    kind: 'push',
    about:
      "Answer to Resume: the highest sequence of the client that was processed, and the secret for the next time. The worker's " +
      'frames that have not come follow.',
    fields: fields('secret:u8x32 processed:u64'),
  },
  {
    name: 'Fault',
    number: 0x8006,
    kind: 'push',
    about:
      'A post failed: `call` and `sequence` name it. `sticky` is 1 when the context (0xffffffff: every context) is unusable from now on.',
    fields: fields('sequence:u64 call:u32 result:u32 context:u32 sticky:u32'),
    tail: 'explanation, UTF-8 text',
  },
];
