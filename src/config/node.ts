import { z } from 'zod';
import { setting } from './setting.ts';

/** Settings that the processes of a node share. Every path is the same on the node and in their containers. */

export const absolutePath = z.string().regex(/^\//, 'must be an absolute path');
export const directory = (standard: string) => absolutePath.default(standard);

export const kubeletDir = setting(directory('/var/lib/kubelet'), {
  description: "Kubelet's root directory; its sockets lie in device-plugins and pod-resources.",
  placeholder: 'DIR',
});

export const runDir = setting(directory('/run/aquifer'), {
  description: 'Directory for the slots and the sockets of the node.',
  placeholder: 'DIR',
});
