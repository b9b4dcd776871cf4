import { readFileSync, writeFileSync } from 'node:fs';
import { generatedPath, protoPath, serviceFiles, servicesSource } from './grpc/services.ts';

/** Writes the TypeScript of the gRPC services from their `.proto`. */
for (const file of serviceFiles) {
  writeFileSync(generatedPath(file), await servicesSource(file, readFileSync(protoPath(file), 'utf8')));
}
