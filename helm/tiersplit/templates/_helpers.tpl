{{- define "tiersplit.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "tiersplit.fullname" -}}
{{- $name := include "tiersplit.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "tiersplit.selector" -}}
app.kubernetes.io/name: {{ printf "tiersplit-%s" .part }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- /* Labels of an object of one part: operator, registry or test. The harness of Prometheus finds pods by part-of. */}}
{{- define "tiersplit.labels" -}}
{{ include "tiersplit.selector" . }}
app.kubernetes.io/part-of: tiersplit
app.kubernetes.io/component: {{ .part }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "tiersplit.image" -}}
{{- $image := index .root.Values.images .image }}
{{- printf "%s/%s" (trimSuffix "/" .root.Values.images.registry) $image.name }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "tiersplit.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (printf "%s-operator" (include "tiersplit.fullname" .)) }}
{{- else }}
{{- required "serviceAccount.name: name the account, since serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "tiersplit.routesService" -}}
{{ include "tiersplit.fullname" . }}-routes
{{- end }}

{{- define "tiersplit.routesHost" -}}
{{ include "tiersplit.routesService" . }}.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end }}

{{- define "tiersplit.routesAddress" -}}
{{- .Values.routes.address | default (printf "%s:%v" (include "tiersplit.routesHost" .) .Values.routes.service.port) }}
{{- end }}

{{- define "tiersplit.routesSecret" -}}
{{- .Values.routes.tls.secretName | default (printf "%s-routes-tls" (include "tiersplit.fullname" .)) }}
{{- end }}

{{- /* Every name that a stage may have dialled the route stream by. */}}
{{- define "tiersplit.routesNames" -}}
{{- $service := include "tiersplit.routesService" . }}
{{- $names := list (include "tiersplit.routesHost" .) (printf "%s.%s.svc" $service .Release.Namespace) }}
{{- $names = append $names (printf "%s.%s" $service .Release.Namespace) }}
{{- if .Values.routes.address }}
{{- $names = append $names (regexReplaceAll ":[0-9]+$" .Values.routes.address "" | trimPrefix "[" | trimSuffix "]") }}
{{- end }}
{{- $names | uniq | toJson }}
{{- end }}

{{- define "tiersplit.isAddress" -}}
{{- if or (regexMatch "^[0-9]+(\\.[0-9]+){3}$" .) (contains ":" .) }}yes{{ end }}
{{- end }}

{{- define "tiersplit.registry" -}}
{{- if .Values.registry.enabled }}
{{- printf "%s-registry.%s.svc.%s:5000/tiersplit" (include "tiersplit.fullname" .) .Release.Namespace .Values.clusterDomain }}
{{- else }}
{{- required "registry.address: name a registry (HOST[:PORT]/PATH), or set registry.enabled" .Values.registry.address | trimPrefix "oci://" | trimSuffix "/" }}
{{- end }}
{{- end }}

{{- define "tiersplit.registryPlainHttp" -}}
{{- if or .Values.registry.enabled .Values.registry.plainHttp }}true{{ else }}false{{ end }}
{{- end }}

{{- define "tiersplit.testNamespace" -}}
{{- .Values.test.namespace | default (first .Values.watch.namespaces | default .Release.Namespace) }}
{{- end }}

{{- define "tiersplit.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "tiersplit.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "tiersplit.pullSecrets" -}}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- /* What the operator does with SplitDeployments and with what it makes for them; no secrets, no wildcards. */}}
{{- define "tiersplit.rules" -}}
- apiGroups: [tiersplit.dev]
  resources: [splitdeployments]
  verbs: [get, list, watch]
- apiGroups: [tiersplit.dev]
  resources: [splitdeployments/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments, daemonsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [get, list, create, patch]
{{- end }}
