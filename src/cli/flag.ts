import type { Flag } from './verb.ts';

/** Flags that mean the same wherever they are. */
export const dataDirFlag: Flag = {
  name: 'data-dir',
  value: 'DIR',
  help: 'Data directory of the serve to speak to (also AQUIFER_DATA_DIR)',
};

export const helpFlag: Flag = { name: 'help', short: 'h', help: 'Show this help' };

export const namespaceFlag: Flag = {
  name: 'namespace',
  short: 'n',
  value: 'NAMESPACE',
  help: 'Namespace of the objects',
  default: 'default',
};

export const allNamespacesFlag: Flag = { name: 'all-namespaces', short: 'A', help: 'Objects of all namespaces' };

export const selectorFlag: Flag = {
  name: 'selector',
  short: 'l',
  value: 'KEY=VALUE,…',
  help: 'Only objects that have all of these labels',
};

export const filenameFlag: Flag = {
  name: 'filename',
  short: 'f',
  value: 'FILE',
  help: 'Manifest in YAML or JSON: a file, a directory of them, or - for standard input; may be repeated',
  repeats: true,
};

export const expiresFlag: Flag = {
  name: 'expires',
  value: 'TIME',
  help: 'How long the ticket is good, such as 10m; a connector renews it in time',
};

export const addressFlag: Flag = {
  name: 'address',
  value: 'ADDRESS',
  help:
    'Where the holder reaches the gateway, if not where serve listens: host:port, or vsock:2:9960 from a guest of this host. ' +
    'May be repeated; vsock is preferred where it is there',
  repeats: true,
};

export const outputFlag = (forms: readonly string[]): Flag => ({
  name: 'output',
  short: 'o',
  value: 'FORM',
  help: `Output form: ${forms.join(', ')}`,
});

export const timeoutFlag = (help: string): Flag => ({
  name: 'timeout',
  value: 'TIME',
  help: `${help}, such as 30s or 5m; 0 means without end`,
  default: '0',
});
