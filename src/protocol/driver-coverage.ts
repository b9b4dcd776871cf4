import { calls } from './calls.ts';
import { words } from './call-shape.ts';

/** Entry points that the client answers in the program's own process, by the name a program looks up. */
const answeredLocally = words(`
  cuInit cuDriverGetVersion cuGetErrorName cuGetErrorString cuGetProcAddress cuProfilerStart cuProfilerStop
  cuDeviceGet cuDeviceGetByPCIBusId cuDeviceGetPCIBusId cuDeviceComputeCapability cuDeviceGetProperties
  cuDeviceCanAccessPeer cuDeviceGetP2PAttribute cuDeviceGetLuid cuDevicePrimaryCtxGetState cuDevicePrimaryCtxSetFlags
  cuCtxPushCurrent cuCtxPopCurrent cuCtxSetCurrent cuCtxGetCurrent cuCtxGetDevice cuCtxGetFlags cuCtxSetFlags cuCtxGetId
  cuCtxGetApiVersion cuCtxGetCacheConfig cuCtxSetCacheConfig cuCtxGetSharedMemConfig cuCtxSetSharedMemConfig
  cuCtxGetStreamPriorityRange cuCtxAttach
  cuModuleGetLoadingMode cuFuncGetAttribute cuFuncGetName cuFuncGetModule cuFuncGetParamInfo
  cuFuncSetSharedMemConfig cuFuncIsLoaded cuFuncLoad cuKernelGetName cuKernelGetLibrary
  cuStreamGetPriority cuStreamGetFlags cuStreamGetId cuStreamGetCtx cuStreamGetDevice cuStreamIsCapturing
  cuMemGetAddressRange cuMemAllocHost cuMemHostAlloc cuMemFreeHost cuMemHostRegister cuMemHostUnregister cuMemHostGetFlags
  cuPointerGetAttribute cuPointerGetAttributes cuMemGetAllocationGranularity cuMemGetAllocationPropertiesFromHandle
  cuMemGetAccess cuGetExportTable
`);

const forwarded = new Map<string, string[]>();
for (const call of calls) {
  for (const name of call.serves ?? []) forwarded.set(name, [...(forwarded.get(name) ?? []), call.name]);
}
const local = new Set(answeredLocally);

/** How one entry point is served. */
export type Coverage =
  | { readonly kind: 'Forwarded'; readonly by: readonly string[] }
  | { readonly kind: 'Local' }
  | { readonly kind: 'NotSupported' };

/** How the client serves the entry point that programs look up as `name`. */
export function coverageOf(name: string): Coverage {
  const by = forwarded.get(name);
  if (by !== undefined) return { kind: 'Forwarded', by };
  return local.has(name) ? { kind: 'Local' } : { kind: 'NotSupported' };
}

/** Every name that is claimed to be served: checked against the driver's symbols. */
export const servedNames: readonly string[] = [...new Set([...forwarded.keys(), ...answeredLocally])];
