{{/*
The agent of nodes: (dict "root" . "gpus" true) for those with GPUs. Two DaemonSets and one text: a DaemonSet cannot give
some nodes another container.
*/}}
{{- define "aquifer.agent" -}}
{{- $root := .root -}}
{{- $gpus := .gpus -}}
{{- $name := ternary "aquifer-gpu-node" "aquifer-node" $gpus -}}
{{- $component := ternary "gpu-node" "node" $gpus -}}
{{- $values := $root.Values -}}
{{- $client := printf "/var/lib/aquifer/client/%s" (include "aquifer.tag" $root) -}}
{{- $exposed := include "aquifer.exposeMetrics" $root -}}
{{- $address := ternary "$(NODE_IP)" "127.0.0.1" (not (empty $exposed)) -}}
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "aquifer.labels" $root | nindent 4 }}
spec:
  selector:
    matchLabels: {{- include "aquifer.selector" (list $root $component) | nindent 6 }}
  updateStrategy:
    rollingUpdate: { maxUnavailable: {{ $values.node.maxUnavailable }} }
  template:
    metadata:
      labels:
        {{- include "aquifer.labels" $root | nindent 8 }}
        app.kubernetes.io/component: {{ $component }}
    spec:
      {{- include "aquifer.nodePod" (dict "root" $root "gpus" $gpus) | nindent 6 }}
      initContainers:
        # Pods get the client libraries from the node, by mounts; they outlive the image they came from.
        - name: place-client
          {{- include "aquifer.image" (list $root "node") | nindent 10 }}
          command:
            - /usr/local/libexec/aquifer/node
            - -e
            - {{ $root.Files.Get "files/place-client.cjs" | toJson }}
            - /usr/local/lib/aquifer/client
            - /usr/local/libexec/aquifer/container-hook
            - {{ $client }}
          resources: {{- toYaml $values.node.resources.devicePlugin | nindent 12 }}
          securityContext: {{- include "aquifer.asRoot" (list) | nindent 12 }}
          volumeMounts:
            - { name: state, mountPath: /var/lib/aquifer }
      containers:
        # Root without capabilities: kubelet lets root alone register and be asked. Kubelet rejects pods for good where it is away,
        # so its restart is left neither to a kubelet that may be away itself nor to how long that waits.
        - name: device-plugin
          {{- include "aquifer.image" (list $root "node") | nindent 10 }}
          command:
            - /usr/local/libexec/aquifer/keeper
            {{- include "aquifer.command" (list "device-plugin" "--lite-mode" "--optimize-for-size" "--max-semi-space-size=1" "--max-old-space-size=48") | nindent 12 }}
          args:
            - --kubelet-dir={{ $values.node.kubeletDir }}
            - --client-dir={{ $client }}
            {{- with $values.node.cdiDir }}
            - --cdi-dir={{ . }}
            {{- end }}
            - --listen={{ $address }}:9961
            - --log-level={{ $values.logLevel }}
          {{- if $exposed }}
          env: {{- include "aquifer.nodeEnvironment" (list) | nindent 12 }}
          {{- end }}
          {{- include "aquifer.probes" (list $root "plugin-metrics" 9961) | nindent 10 }}
          resources: {{- toYaml $values.node.resources.devicePlugin | nindent 12 }}
          securityContext: {{- include "aquifer.asRoot" (list) | nindent 12 }}
          volumeMounts:
            - { name: run, mountPath: /run/aquifer }
            - { name: state, mountPath: /var/lib/aquifer }
            # The directory, not the socket in it, which kubelet makes anew at each start.
            - { name: device-plugins, mountPath: {{ $values.node.kubeletDir }}/device-plugins }
            - { name: pod-resources, mountPath: {{ $values.node.kubeletDir }}/pod-resources, readOnly: true }
            {{- with $values.node.cdiDir }}
            - { name: cdi, mountPath: {{ . }} }
            {{- end }}
        # On a node with GPUs it reads what workers of another user metered: that takes DAC_READ_SEARCH.
        - name: agent
          {{- include "aquifer.image" (list $root "node") | nindent 10 }}
          command: {{- include "aquifer.command" (list "backend" "--optimize-for-size" "--max-semi-space-size=1") | nindent 12 }}
          args:
            - --kubelet-dir={{ $values.node.kubeletDir }}
            - --operator=dns:///aquifer-operator.{{ $root.Release.Namespace }}.svc:9962
            {{- if and $gpus $values.gpuNodes.softwareGpus }}
            - --software-gpus={{ $values.gpuNodes.softwareGpus }}
            {{- else if $gpus }}
            - --gpus=nvidia
            {{- end }}
            - --listen={{ $address }}:9963
            - --log-level={{ $values.logLevel }}
          env:
            {{- include "aquifer.nodeEnvironment" (list) | nindent 12 }}
            {{- with include "aquifer.driverEnvironment" $root }}
            {{- if $gpus }}{{ . | nindent 12 }}{{ end }}
            {{- end }}
          {{- include "aquifer.probes" (list $root "agent-metrics" 9963) | nindent 10 }}
          resources: {{- toYaml $values.node.resources.agent | nindent 12 }}
          securityContext: {{- include "aquifer.asRoot" (ternary (list "DAC_READ_SEARCH") (list) $gpus) | nindent 12 }}
          volumeMounts:
            - { name: run, mountPath: /run/aquifer }
            - { name: pod-resources, mountPath: {{ $values.node.kubeletDir }}/pod-resources, readOnly: true }
            - { name: operator-ca, mountPath: /etc/aquifer, readOnly: true }
            - { name: operator-token, mountPath: /var/run/secrets/aquifer.dev, readOnly: true }
            {{- if $gpus }}
            - { name: api-token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true }
            {{- end }}
        - name: connector
          {{- include "aquifer.image" (list $root "node") | nindent 10 }}
          command: [/usr/local/bin/aquifer-connector]
          args:
            - --control=/run/aquifer/connector.sock
            - --slots-dir=/run/aquifer/slots
            - --agent=/run/aquifer/agent.sock
            - --state-dir=/var/lib/aquifer/connector
            - --log=json
          resources: {{- toYaml $values.node.resources.connector | nindent 12 }}
          securityContext: {{- include "aquifer.asRoot" (list) | nindent 12 }}
          volumeMounts:
            - { name: run, mountPath: /run/aquifer }
            - { name: state, mountPath: /var/lib/aquifer }
        {{- if $gpus }}
        # Workers run as another user: it takes DAC_OVERRIDE to speak to their sockets and KILL to end one that hangs.
        - name: gateway
          {{- include "aquifer.image" (list $root "node") | nindent 10 }}
          command: [/usr/local/libexec/aquifer/gateway]
          args:
            - --run-dir=/run/aquifer
            - --node=$(NODE_NAME)
            - --listen=$(NODE_IP):9960
            - --log=json
          env: {{- include "aquifer.nodeEnvironment" (list) | nindent 12 }}
          ports:
            - { name: gateway, containerPort: 9960 }
          resources: {{- toYaml $values.node.resources.gateway | nindent 12 }}
          securityContext: {{- include "aquifer.asRoot" (list "DAC_OVERRIDE" "KILL") | nindent 12 }}
          volumeMounts:
            - { name: run, mountPath: /run/aquifer }
        {{- end }}
      volumes:
        {{- with $values.node.cdiDir }}
        - name: cdi
          hostPath: { path: {{ . }}, type: DirectoryOrCreate }
        {{- end }}
        - name: run
          hostPath: { path: /run/aquifer, type: DirectoryOrCreate }
        - name: state
          hostPath: { path: /var/lib/aquifer, type: DirectoryOrCreate }
        - name: device-plugins
          hostPath: { path: {{ $values.node.kubeletDir }}/device-plugins, type: Directory }
        - name: pod-resources
          hostPath: { path: {{ $values.node.kubeletDir }}/pod-resources, type: Directory }
        - name: operator-ca
          configMap: { name: aquifer-ca }
        # Good for the operator alone: it says which node its bearer speaks for.
        - name: operator-token
          projected:
            sources:
              - serviceAccountToken: { audience: aquifer, path: token, expirationSeconds: 3600 }
        {{- if $gpus }}
        # For the API server, to which nodes with GPUs alone speak, and there one container.
        - name: api-token
          projected:
            sources:
              - serviceAccountToken: { path: token, expirationSeconds: 3600 }
              - configMap: { name: kube-root-ca.crt, items: [{ key: ca.crt, path: ca.crt }] }
        {{- end }}
{{- end }}
