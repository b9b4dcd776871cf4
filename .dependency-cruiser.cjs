const layer = (name, from, to, comment) => ({ name, comment, severity: 'error', from, to });

/** Import directions: applications -> adapters -> core -> vocabulary. */
module.exports = {
  forbidden: [
    layer(
      'pure-layers',
      { path: '^src/(core|api|protocol|lib)/', pathNot: '\\.test\\.ts$' },
      { pathNot: '(^src/(core|api|protocol|lib)/|node_modules/zod/)' },
      'The core and the vocabulary do no input or output; zod is their only library.',
    ),
    layer(
      'vocabulary-below-core',
      { path: '^src/(api|protocol|lib)/', pathNot: '\\.test\\.ts$' },
      { path: '^src/core/' },
      'The vocabulary does not know the core.',
    ),
    layer(
      'adapters-below-applications',
      { path: '^src/(kube|embedded|runtime|config|log|metrics|ipc|grpc)/' },
      { path: '^src/(operator|device-plugin|backend|standalone|cli)/' },
      'Adapters do not know the applications.',
    ),
    layer(
      'apps-are-islands',
      { path: '^src/(operator|device-plugin|backend|cli)/' },
      { path: '^src/(operator|device-plugin|backend|standalone|cli)/', pathNot: '^src/$1/' },
      'Applications never import each other; only standalone composes them.',
    ),
    layer(
      'one-importer-kube',
      { path: '^src/', pathNot: '^src/kube/' },
      { path: 'node_modules/@kubernetes/client-node' },
      'Only src/kube speaks to the Kubernetes client.',
    ),
    layer('one-importer-log', { path: '^src/', pathNot: '^src/log/' }, { path: 'node_modules/winston' }, 'One logger.'),
    layer(
      'one-importer-metrics',
      { path: '^src/', pathNot: '^src/metrics/' },
      { path: 'node_modules/prom-client' },
      'One metrics registry.',
    ),
    layer(
      'one-importer-grpc',
      { path: '^src/', pathNot: '^src/grpc/' },
      { path: 'node_modules/@grpc/' },
      'Only src/grpc speaks gRPC.',
    ),
    layer(
      'one-importer-sqlite',
      { path: '^src/', pathNot: '^src/embedded/' },
      { path: '^(node:)?sqlite$' },
      'Only src/embedded opens the database.',
    ),
    layer(
      'no-test-imports',
      { path: '^src/', pathNot: '\\.test\\.ts$' },
      { path: '(\\.test\\.ts$|^test/)' },
      'Tests stay out of the product.',
    ),
    layer('no-cycles', {}, { circular: true }, 'No import cycles.'),
  ],
  options: { doNotFollow: { path: 'node_modules' }, tsPreCompilationDeps: true },
};
