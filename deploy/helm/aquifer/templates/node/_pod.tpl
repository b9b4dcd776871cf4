{{/* What the pods of agents and of spawners share: (dict "root" . "gpus" true). */}}
{{- define "aquifer.nodePod" -}}
{{- $values := .root.Values -}}
serviceAccountName: aquifer-node
# Tokens go to the containers that need one, as volumes.
automountServiceAccountToken: false
priorityClassName: system-node-critical
# Connections of programs live in the network namespace of whoever opened them, connector or gateway: in a pod's own they
# would be cut when the pod is replaced. The gateway is reached at the node's address.
hostNetwork: true
dnsPolicy: ClusterFirstWithHostNet
# The connector finds the pod of a program by the program's pid; gateways and spawners find workers by theirs, also those
# of the pod before.
hostPID: true
{{- with $values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if and .gpus (not $values.gpuNodes.softwareGpus) $values.gpuNodes.runtimeClassName }}
runtimeClassName: {{ $values.gpuNodes.runtimeClassName }}
{{- end }}
securityContext:
  seccompProfile: { type: RuntimeDefault }
{{- with $values.node.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
affinity:
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms:
        - matchExpressions:
            - { key: aquifer.dev/gpu, operator: {{ ternary "In" "NotIn" .gpus }}, values: ['true'] }
{{- with $values.node.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Root of the node with these capabilities and no others: what is in /run/aquifer is root's, and closed to all else. */}}
{{- define "aquifer.asRoot" -}}
runAsUser: 0
runAsGroup: 0
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
  {{- with . }}
  add: {{ toJson . }}
  {{- end }}
{{- end }}

{{- define "aquifer.nodeEnvironment" -}}
- name: POD_NAMESPACE
  valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
- name: NODE_NAME
  valueFrom: { fieldRef: { fieldPath: spec.nodeName } }
- name: NODE_IP
  valueFrom: { fieldRef: { fieldPath: status.hostIP } }
{{- end }}

{{/* Not empty where Prometheus is to reach the processes of nodes, and not loopback alone. */}}
{{- define "aquifer.exposeMetrics" -}}
{{- if or .Values.podMonitor.enabled .Values.node.exposeMetrics }}true{{ end }}
{{- end }}

{{/* What NVIDIA's runtime takes for an order to give a container all GPUs. */}}
{{- define "aquifer.driverEnvironment" -}}
{{- if not .Values.gpuNodes.softwareGpus -}}
- { name: NVIDIA_VISIBLE_DEVICES, value: all }
- { name: NVIDIA_DRIVER_CAPABILITIES, value: 'compute,utility' }
{{- end }}
{{- end }}

{{/* Probes of a process of the node: (list . "agent-metrics" 9963). On loopback, unless Prometheus is to reach it. */}}
{{- define "aquifer.probes" -}}
{{- $root := index . 0 -}}
{{- $exposed := include "aquifer.exposeMetrics" $root -}}
{{- $host := ternary "host: 127.0.0.1, " "" (empty $exposed) -}}
{{- if $exposed -}}
ports:
  - { name: {{ index . 1 }}, containerPort: {{ index . 2 }} }
{{ end -}}
livenessProbe:
  httpGet: { {{ $host }}path: /livez, port: {{ index . 2 }} }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { {{ $host }}path: /readyz, port: {{ index . 2 }} }
  periodSeconds: 5
  timeoutSeconds: 5
{{- end }}
