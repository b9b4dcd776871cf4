/** For tests of applications that may not know the operator, and speak to it. */
export { certificateRequest } from '../../src/operator/pki/certificate.ts';
