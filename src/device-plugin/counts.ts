/** How the preparation of a slot ended. */
export type PreparationOutcome = 'Prepared' | 'Refused' | 'ConnectorAway' | 'Cancelled';

/** What happens in the plugin, told to whoever counts. */
export interface PluginCounts {
  registered(resource: string): void;
  allocated(resource: string): void;
  prepared(outcome: PreparationOutcome, seconds: number): void;
}
