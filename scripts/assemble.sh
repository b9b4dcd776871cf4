#!/usr/bin/env bash
# Fills build/dist, the install prefix, from the compiled TypeScript and the compiled Rust. Files are replaced by rename, so that a
# library that a program has mapped is never written to.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/node_modules/.bin:$PATH"
dist=build/dist release=native/target/release

# put MODE SOURCE TARGET
put() { install -D -m "$1" "$2" "$dist/$3.new" && mv -f "$dist/$3.new" "$dist/$3"; }

tsc -p tsconfig.build.json
printf '{ "type": "module" }\n' > "$dist/lib/aquifer/js/package.json"

# The libraries that the product loads at run time, without the ones that only build and test it.
runtime_packages='const { packages } = JSON.parse(require("fs").readFileSync("package-lock.json", "utf8"));
  for (const [path, { dev }] of Object.entries(packages)) if (path !== "" && dev !== true) console.log(path);'
rm -rf "$dist/lib/aquifer/node_modules"
node -e "$runtime_packages" | while IFS= read -r package; do
  mkdir -p "$dist/lib/aquifer/$package"
  cp -R "$package/." "$dist/lib/aquifer/$package" # A package inside another is there already: cp would nest it once more.
done

put 755 "$(node -p process.execPath)" libexec/aquifer/node
for program in gateway keeper spawner worker; do put 755 "$release/$program" "libexec/aquifer/$program"; done
static=native/target/$(uname -m)-unknown-linux-musl/release
put 755 "$static/container-hook" libexec/aquifer/container-hook
put 755 "$static/aquifer-connector" bin/aquifer-connector
for name in aquifer kubectl-aquifer; do put 755 scripts/aquifer.sh bin/$name; done
for name in libcuda.so.1 libnvidia-ml.so.1; do
  put 755 "$release/libaquifer_client.so" "lib/aquifer/client/$name"
  put 755 "$release/libaquifer_softgpu.so" "lib/aquifer/softgpu/$name"
done
for crd in deploy/crds/*.yaml; do put 644 "$crd" "share/aquifer/crds/$(basename "$crd")"; done
while IFS= read -r example; do put 644 "$example" "share/aquifer/$example"; done < <(find examples -type f)
while IFS= read -r file; do put 644 "$file" "share/aquifer/${file#deploy/}"; done < <(find deploy/helm -type f)
for unit in deploy/systemd/aquifer.service deploy/guest/aquifer-connector.service; do put 644 "$unit" "share/aquifer/systemd/${unit##*/}"; done
put 644 deploy/guest/cloud-init.yaml share/aquifer/examples/guest/cloud-init.yaml
echo "filled $dist"
