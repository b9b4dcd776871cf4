{{/* Names are fixed: a cluster has one Aquifer, as it has one set of definitions of its kinds. */}}

{{- define "aquifer.tag" -}}
{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "aquifer.labels" -}}
app.kubernetes.io/name: aquifer
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Of the pods of one component: (list . "operator"). A selector can never be changed: no version is in it. */}}
{{- define "aquifer.selector" -}}
app.kubernetes.io/name: aquifer
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Fields of a container that runs an image: (list . "node"). */}}
{{- define "aquifer.image" -}}
{{- $root := index . 0 -}}
image: {{ $root.Values.image.registry }}/{{ index . 1 }}:{{ include "aquifer.tag" $root }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
{{- end }}

{{/* A TypeScript application as the images have it: (list "backend" "--optimize-for-size"). As scripts/aquifer.sh starts it. */}}
{{- define "aquifer.command" -}}
- /usr/local/libexec/aquifer/node
- --disable-warning=ExperimentalWarning
{{- range rest . }}
- {{ . }}
{{- end }}
- /usr/local/lib/aquifer/js/{{ first . }}/main.js
{{- end }}
