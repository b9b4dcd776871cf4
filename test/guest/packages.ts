import { execFileSync } from 'node:child_process';

/** Kernels that guests are tried with, both of Debian 12: the older one has no SO_PEERPIDFD, the newer one hangs on vsock. */
export const KERNEL_SERIES = ['6.12', '6.1'] as const;
export type KernelSeries = (typeof KERNEL_SERIES)[number];

/** What runs nested containers, with the libraries that these and a shell need, and systemd for guests that are to have it. */
export const ROOT_PACKAGES: readonly string[] = [
  'busybox-static crun podman conmon golang-github-containers-common libc6 libgcc-s1 libsubid4 libgpgme11 libseccomp2 libdevmapper1.02.1',
  'libaudit1 libselinux1 libsemanage2 libcrypt1 libpam0g libassuan0 libgpg-error0 libudev1 libcap-ng0 libpcre2-8-0 libsepol2 libbz2-1.0',
  'libsystemd0 libcap2 libyajl2 libgcrypt20 liblzma5 libzstd1 liblz4-1 libglib2.0-0 dropbear-bin libtomcrypt1 libtommath1 libgmp10 zlib1g',
  'systemd libsystemd-shared udev libkmod2 libmount1 libblkid1 libacl1 libssl3 libapparmor1 libip4tc2',
].flatMap((line) => line.split(' '));

/**
 * The newest package with a cloud kernel of a series; it is unpacked, never installed. @throws Error when this Debian has none.
 */
export function kernelPackage(series: KernelSeries): string {
  const pattern = `^linux-image-${series.replaceAll('.', String.raw`\.`)}[^0-9].*-cloud-amd64$`;
  const search = (): readonly string[] =>
    execFileSync('apt-cache', ['search', '--names-only', pattern], { encoding: 'utf8' })
      .split('\n')
      .flatMap((line) => line.split(' ').slice(0, 1))
      .filter((name) => name !== '')
      .toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const found = search().at(-1) ?? afterUpdate(search).at(-1);
  if (found === undefined)
    throw new Error(`apt has no kernel linux-image-${series}*-cloud-amd64: a guest needs Debian 12`);
  return found;
}

function afterUpdate<T>(read: () => T): T {
  execFileSync('apt-get', ['--quiet', 'update'], { stdio: 'ignore' });
  return read();
}
